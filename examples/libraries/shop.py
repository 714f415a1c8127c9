"""What all agents in this folder can do, and what they are asked."""

QUESTION = "Where is my parcel T-1002?"
ANSWER = "It is on its way to Lyon."
INSTRUCTIONS = "You are the support of a tea shop. Be kind and brief."

#: The tool as JSON Schema, for the clients that want it so.
SCHEMA = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}


def track_parcel(order_id: str) -> str:
    """Tell where a parcel is."""
    return "on its way to Lyon" if order_id == "T-1002" else "unknown"
