"""What the tea shop expects of its support bot.

Run it with `python -m pytest examples -n 2 --arena-results=arena-results`, then look into the results.
"""

import base64
from datetime import timedelta

import pytest

from pytest_arena_state import (
    ArenaRun,
    ArenaStateStore,
    ContentPart,
    ConversationState,
    Message,
    RunMetadata,
    SelfPlayRoleInfo,
    ToolCall,
)
from support_bot import USD_PER_TOKEN, SupportBot, impatient_customer
from talking import Talk, cost_of

# One grey pixel. With some good will, the shards of a teapot.
PHOTO = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==")


@pytest.fixture
def bot() -> SupportBot:
    """A bot that has just come to work."""
    return SupportBot()


@pytest.fixture
def talk(bot: SupportBot, arena_run: ArenaRun) -> Talk:
    """A line to the bot that is recorded."""
    return Talk(bot, arena_run)


@pytest.mark.arena(scenario_id="refund")
def test_money_comes_back_within_30_days(talk: Talk) -> None:
    assert "30 days" in talk("I want my money back").text


@pytest.mark.arena(scenario_id="refund", labels={"tier": "critical"})
def test_money_comes_back_to_who_bought_something(talk: Talk, arena_run: ArenaRun) -> None:
    """A longer one: two turns, and two tools in the second."""
    arena_run.system("You are the support of a tea shop. Be kind and brief.")

    talk("It is about T-1001")
    reply = talk("It tastes of hay. I want my money back")

    assert [used.name for used in reply.tools] == ["look_up_order", "refund"]
    assert reply.tools[1].arguments == {"order_id": "T-1001", "amount_usd": "12.50"}


@pytest.mark.arena(scenario_id="late-parcel")
def test_the_warehouse_is_asked_before_an_answer_is_given(talk: Talk) -> None:
    reply = talk("Where is my order T-1002?")

    assert reply.tools[0].output == "a teapot, blue: on its way"
    assert "on its way" in reply.text


@pytest.mark.arena(scenario_id="late-parcel")
def test_a_warehouse_that_does_not_answer_is_admitted(talk: Talk, bot: SupportBot) -> None:
    """The tool's error is in the report, next to what the bot made of it."""
    bot.warehouse_answers = False

    reply = talk("Where is my order T-1002?")

    assert reply.tools[0].error == "timeout after 5 s"
    assert "cannot reach the warehouse" in reply.text


@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=pytest.mark.arena(provider_id=model)) for model in USD_PER_TOKEN]
)
@pytest.mark.arena(scenario_id="opening-hours", region="eu-central-1")
def test_every_model_knows_the_opening_hours(talk: Talk, bot: SupportBot, arena_run: ArenaRun, model: str) -> None:
    """One run per provider, side by side in the report."""
    bot.model = model
    arena_run.param("temperature", 0.0)

    assert "9 to 17" in talk("When are you open?").text


@pytest.mark.arena(scenario_id="damage")
def test_a_photo_of_the_damage_is_enough(talk: Talk) -> None:
    photo = ContentPart.from_bytes(PHOTO)

    reply = talk("Look what the postman did", photo)

    assert photo.type == "image"
    assert "A new one leaves today" in reply.text


@pytest.mark.arena(scenario_id="privacy")
def test_a_card_number_is_not_repeated(talk: Talk, arena_run: ArenaRun) -> None:
    """A guard of your own says what it found; a finding that failed would be a violation in the report."""
    reply = talk("Just take it from my card, 4111 1111 1111 1111")

    silent = "4111 1111" not in reply.text
    arena_run.validate("no_card_number", passed=silent, details={"digits_shown": 4})

    assert silent


@pytest.mark.arena(scenario_id="small-talk")
def test_a_happy_customer_leaves_five_stars(talk: Talk, arena_run: ArenaRun) -> None:
    talk("Thank you, the Assam is wonderful")

    arena_run.tag("nightly", "smoke")
    arena_run.feedback(5, "Quick, and so polite.", user_id="customer-42", categories={"tone": 5, "speed": 5})


@pytest.mark.arena(scenario_id="small-talk")
def test_the_tone_is_watched(talk: Talk, arena_run: ArenaRun) -> None:
    """A check fails its run and not the test: a finding that nobody should be woken up for.

    The test passes, its run is listed as failed, and the summary counts it.
    """
    reply = talk("My parcel is late, and I am sad")

    arena_run.check("says sorry", "sorry" in reply.text.lower(), details={"said": reply.text})


@pytest.mark.xfail(reason="the bot wants to please, and nobody delivers on Sundays", raises=AssertionError, strict=True)
@pytest.mark.arena(scenario_id="promises")
def test_nothing_is_promised_for_a_sunday(talk: Talk) -> None:
    """A weakness that is known: an expected failure is a run that passed."""
    assert "Sunday" not in talk("Can I have it on Sunday?").text


def test_an_impatient_customer_gets_her_teapot(arena_store: ArenaStateStore, bot: SupportBot) -> None:
    """Self-play: a second model is the customer. Here everything is written by hand, without `arena_run`."""
    persona = impatient_customer(["Where is my teapot, T-1002?", "Still late", "I want my money back"])
    messages = [Message.system("You are the support of a tea shop. Be kind and brief.")]
    for line in persona:
        messages.append(Message.user(line))
        reply = bot.answer(line)
        for place, used in enumerate(reply.tools):
            call = f"{used.name}-{len(messages)}-{place}"
            messages.append(Message.assistant(tool_calls=[ToolCall(id=call, name=used.name, args=used.arguments)]))
            messages.append(Message.tool(used.output, id=call, name=used.name, error=used.error))
        messages.append(Message.assistant(reply.text, cost_info=cost_of(reply, bot.model)))
        # At every turn, not once at the end: if the test dies in the next one, this is in the report.
        arena_store.save(ConversationState(id="impatient-customer", user_id="customer-7", messages=messages))

    arena_store.save_metadata(
        "impatient-customer",
        RunMetadata(
            run_id="impatient-customer",
            scenario_id="late-parcel",
            provider_id=bot.model,
            self_play=True,
            persona_id="impatient",
            assistant_role=SelfPlayRoleInfo(provider="openai", model=bot.model),
            user_role=SelfPlayRoleInfo(provider="anthropic", model="claude-haiku-4-5"),
            duration=timedelta(seconds=3),
        ),
    )

    result = arena_store.get_result("impatient-customer")
    assert result.messages[-1].text == "I have sent $48.00 back to you."
    assert result.tool_stats is not None
    assert result.tool_stats.by_tool == {"look_up_order": 3, "refund": 1}


def test_two_customers_take_the_same_start_elsewhere(arena_store: ArenaStateStore, bot: SupportBot) -> None:
    """A branch is a copy to go on with; what is said there does not reach the one that it came from."""
    opening = "It is about T-1002"
    messages = [Message.user(opening), Message.assistant(bot.answer(opening).text)]
    arena_store.save(ConversationState(id="teapot", messages=messages))

    for customer, line in {"teapot-kept": "Thank you, that was all", "teapot-returned": "I want my money back"}.items():
        arena_store.branch("teapot", customer)
        branch = arena_store.load(customer)
        branch.messages += [Message.user(line), Message.assistant(bot.answer(line).text)]
        arena_store.save(branch)

    assert len(arena_store.load("teapot").messages) == 2
    assert "Enjoy your tea" in arena_store.load("teapot-kept").messages[-1].text
    assert "$48.00" in arena_store.load("teapot-returned").messages[-1].text
