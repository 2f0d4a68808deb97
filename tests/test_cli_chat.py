"""A conversation says what the model would say to the whole of it, and reads only what is new."""

import builtins
import io
import re
import sys

import numpy as np
import pytest

from minitransformer.cli import main
from minitransformer.errors import InputError
from minitransformer.generation import generate
from minitransformer.pretrained import Conversation, from_pretrained, load_chat_template
from tests.public_checkpoints import END, TEMPLATE, save_chat_model, save_sentence_model

pytestmark = pytest.mark.systems

pytest.importorskip("jinja2", reason="chat templates are written for it")

FIGURES = r"([\d,]+) tokens read, ([\d,]+) written in \d+\.\d s: [\d,]+ tokens/s"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_chat_model(tmp_path_factory.mktemp("chat"))


@pytest.fixture
def conversation(folder):
    return Conversation(*from_pretrained(folder), load_chat_template(folder))


def say(conversation, words, **options):
    return "".join(conversation.answer(words, max_new_tokens=12, **options))


def without_memory(conversation):
    """The same conversation, of whose words the model has read none."""
    other = Conversation(conversation.model, conversation.tokenizer, conversation.template)
    other.messages = list(conversation.messages)
    other._text, other._ids = conversation._text, conversation._ids
    return other


def transcript(conversation, *questions, system=""):
    """Answers of the model, which reads all ids from the beginning each time."""
    ids, answers = [], []
    text = f"<|im_start|>system\n{system}{END}\n" if system else ""
    for words in questions:
        text += f"<|im_start|>user\n{words}{END}\n<|im_start|>assistant\n"
        ids += conversation.tokenizer.encode(text)
        (new,) = generate(conversation.model, ids, max_new_tokens=12)
        ids += new
        answers.append(conversation.tokenizer.decode(new))
        text = f"{END}\n"
    return answers


def user(words):
    return {"role": "user", "content": words}


# The conversation


def test_a_turn_reads_its_new_words_alone(conversation):
    questions = ("the cat", "that hat", "hers")
    answers = transcript(conversation, *questions)
    for words, answer in zip(questions, answers, strict=True):
        last = conversation.is_cut_off  # then its last token was written, and never read
        assert say(conversation, words) == answer
        end = "" if words == "the cat" else f"{END}\n"
        new = f"{end}<|im_start|>user\n{words}{END}\n<|im_start|>assistant\n"
        assert conversation.read == len(conversation.tokenizer.encode(new)) + last
    expected = [message for pair in zip(questions, answers, strict=True) for message in pair]
    assert [message["content"] for message in conversation.messages] == expected
    assert [message["role"] for message in conversation.messages] == ["user", "assistant"] * 3


def test_what_was_said_before_matters(conversation):
    say(conversation, "the cat")
    second = say(conversation, "that hat")
    conversation.reset()
    assert say(conversation, "that hat") != second


def test_after_a_reset_only_the_beginning_stays_known(conversation):
    first = say(conversation, "the cat")
    conversation.reset()
    assert conversation.messages == []
    assert say(conversation, "the cat") == first
    assert conversation.read == 1


def test_the_system_is_heard(folder):
    parts = (*from_pretrained(folder), load_chat_template(folder))
    told = Conversation(*parts, system="say hats")
    (expected,) = transcript(told, "the cat", system="say hats")
    assert say(told, "the cat") == expected
    told.reset()
    assert told.messages == [{"role": "system", "content": "say hats"}]


@pytest.mark.parametrize("after", [1, 2, 6])
def test_an_interrupted_answer_is_remembered(conversation, after):
    say(conversation, "the cat")
    pieces = conversation.answer("that hat", max_new_tokens=12, eos_id=())
    said = "".join(next(pieces) for _ in range(after))
    pieces.close()
    assert conversation.messages[-1] == {"role": "assistant", "content": said}
    expected = say(without_memory(conversation), "hers")
    assert say(conversation, "hers") == expected
    assert conversation.read < 30


def test_an_interruption_inside_the_model_does_no_harm(conversation, monkeypatch):
    say(conversation, "the cat")
    last = conversation.model.blocks[1]
    whole, calls = type(last).__call__, []

    def interrupted(self, *args):
        calls.append(self)
        if self is last and len(calls) == 6:  # when the first block has read a token more
            raise KeyboardInterrupt
        return whole(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(type(last), "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            say(conversation, "that hat", eos_id=())
    assert len(conversation.messages) == 4
    expected = say(without_memory(conversation), "hers")
    assert say(conversation, "hers") == expected


def test_broken_characters_are_read_as_they_were_written(conversation, monkeypatch):
    """The text of an answer may say less than its tokens."""
    half = conversation.tokenizer.encode("ü", add_special_tokens=False)[0]
    monkeypatch.setattr(
        "minitransformer.pretrained.conversation.stream", lambda *args, **options: iter([half])
    )
    say(conversation, "the cat")
    text = conversation.template.render([*conversation.messages, user("hers")])
    _, ids = conversation._prompt([*conversation.messages, user("hers")])
    assert (half in ids) == (conversation._text != "")
    assert conversation.tokenizer.decode(ids) == text


def test_a_full_context_forgets_the_oldest(tmp_path):
    folder = save_chat_model(tmp_path, context=120)
    small = Conversation(*from_pretrained(folder), load_chat_template(folder), system="hats")
    forgotten = []
    for _ in range(9):
        answer = say(small, "the cat sat there")
        forgotten.append(small.forgotten)
        assert small.messages[0]["content"] == "hats"
        if small.forgotten:
            text = small.template.render(small.messages[:-1])
            (new,) = generate(small.model, small.tokenizer.encode(text), max_new_tokens=12)
            assert answer == small.tokenizer.decode(new)
    assert any(forgotten)
    assert all(number % 2 == 0 for number in forgotten)
    assert forgotten[-1] == 0 or forgotten[-2] == 0  # room is made for several turns at once


def test_words_that_are_too_long_are_not_said(tmp_path):
    folder = save_chat_model(tmp_path, context=120)
    small = Conversation(*from_pretrained(folder), load_chat_template(folder))
    say(small, "the cat")
    before = list(small.messages)
    with pytest.raises(InputError, match=r"the message makes \d+ tokens, but .* context is 120"):
        say(small, "xyz " * 90)
    assert small.messages == before
    assert say(small, "that hat") == transcript(small, "the cat", "that hat")[1]


def test_an_answer_may_fill_the_context(tmp_path):
    folder = save_chat_model(tmp_path, context=60)
    small = Conversation(*from_pretrained(folder), load_chat_template(folder))
    "".join(small.answer("the cat", max_new_tokens=1000, eos_id=()))
    assert small.is_cut_off
    assert small.written == 60 - small.read


# At the terminal


@pytest.fixture
def chat(folder, capsys, monkeypatch):
    """Run the command with these lines in a pipe; returns what it printed, and its notes."""

    def run(*lines, options=("--greedy",), status=0, where=folder):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        arguments = ("--model", str(where), "--max-new-tokens", "9", *options)
        assert main(["chat", *arguments]) == status
        out, err = capsys.readouterr()
        return out, err

    return run


def test_questions_may_come_from_a_pipe(chat, conversation):
    out, err = chat("the cat", "", "that hat")
    expected = [
        "".join(conversation.answer(words, max_new_tokens=9)) for words in ("the cat", "that hat")
    ]
    assert out == "".join(f"{answer}\n" for answer in expected)
    assert "parameters, a context of 512 tokens, computed by numpy; /help" in err
    figures = re.findall(FIGURES, err)
    assert len(figures) == 2
    assert figures[1] == (str(conversation.read), str(conversation.written))


def test_pipes_bring_utf8(folder, conversation, monkeypatch, capsys):
    pipe = io.TextIOWrapper(io.BytesIO("the hüt\r\n\xff".encode() + b"\xff\n"), "ascii")
    monkeypatch.setattr(sys, "stdin", pipe)
    assert main(["chat", "--model", str(folder), "--greedy", "--max-new-tokens", "9"]) == 0
    answers = [
        "".join(conversation.answer(words, max_new_tokens=9)) for words in ("the hüt", "ÿ\ufffd")
    ]
    assert capsys.readouterr().out == "".join(f"{answer}\n" for answer in answers)


def test_commands(chat):
    sampled = ("--temperature", "2", "--top-p", "1")
    once, _ = chat("/seed 4", "the cat", "that hat", options=sampled)
    again, err = chat("/seed 4", "the cat", "that hat", options=sampled)
    assert once == again
    assert "the seed is 4" in err
    other, _ = chat("/seed 5", "the cat", "that hat", options=sampled)
    assert other != once
    assert chat("the cat", "that hat", options=(*sampled, "--seed", "4"))[0] == once
    twice, err = chat("/seed 4", "the cat", "/reset", "the cat", options=sampled)
    assert twice == 2 * twice[: len(twice) // 2]
    assert "a new conversation" in err
    out, err = chat("/help", "/nonsense", "/seed x", "/quit", "the cat")
    assert out == ""
    assert err.count("/reset   begin another conversation") == 3
    assert "there is no command '/nonsense'" in err


def at_a_terminal(monkeypatch, events):
    """Let the user type these lines, or press keys."""
    typed = iter(events)

    def answer(prompt):
        assert prompt == ">>> "
        event = next(typed)
        if isinstance(event, str):
            return event
        raise event

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(builtins, "input", answer)
    monkeypatch.setattr(sys, "stdin", Terminal())


def test_keys_at_a_terminal(folder, monkeypatch, capsys):
    at_a_terminal(monkeypatch, ["the cat", KeyboardInterrupt, "that hat", EOFError])
    assert main(["chat", "--model", str(folder), "--greedy", "--max-new-tokens", "5"]) == 0
    out, err = capsys.readouterr()
    assert "/quit leaves" in err
    assert len(re.findall(FIGURES, err)) == 2
    assert out.endswith("\n")


def test_ctrl_c_stops_the_answer_and_nothing_else(folder, monkeypatch, capsys):
    answer = Conversation.answer

    def interrupted(self, words, *args, **options):
        pieces = answer(self, words, *args, **options)
        yield next(pieces)
        if words == "the cat":
            pieces.throw(KeyboardInterrupt)
        yield from pieces

    monkeypatch.setattr(Conversation, "answer", interrupted)
    at_a_terminal(monkeypatch, ["the cat", "that hat", "/quit"])
    options = ("--greedy", "--max-new-tokens", "5")
    assert main(["chat", "--model", str(folder), *options]) == 0
    out, err = capsys.readouterr()
    assert " ...\n" in out
    assert len(re.findall(FIGURES, err)) == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO("the cat\nthat hat\n"))
    assert main(["chat", "--model", str(folder), *options]) == 130  # a script ends


def test_what_cannot_be_is_said(chat, tmp_path):
    out, err = chat("x" * 2000, "the cat")
    assert "error: the message makes" in err
    assert out
    _, err = chat("the cat", options=("--greedy", "--max-new-tokens", "1"))
    assert "the answer was cut off: see --max-new-tokens" in err
    small = save_chat_model(tmp_path / "small", context=120)
    _, err = chat(*["the cat sat there"] * 9, where=small)
    assert re.search(r"the context is full: the oldest \d+ messages are forgotten", err)


def test_what_is_no_chat_model_is_named(chat, tmp_path):
    silent = save_chat_model(tmp_path / "silent", template="")
    assert (
        "has no chat template: it was taught to continue texts" in chat(where=silent, status=2)[1]
    )
    bert = save_sentence_model(tmp_path / "bert")
    (bert / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    assert "is a Bert, which reads texts and writes none" in chat(where=bert, status=2)[1]
    (silent / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    (silent / "tokenizer.json").unlink()
    assert "has no tokenizer that is known here" in chat(where=silent, status=2)[1]
    assert "does not exist" in chat(where="/no/such/model.gguf", status=2)[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--temperature", "0"), "temperature is 0.0"),
        (("--top-p", "2"), "p is 2.0"),
        (("--seed", "-1"), "seed is -1, expected 0 or more"),
        (("--max-new-tokens", "0"), "max_new_tokens is 0, expected 1 or more"),
    ],
)
def test_flags_are_checked_before_the_model_is_loaded(chat, options, message):
    assert message in chat(where="/no/such/model", options=options, status=2)[1]


def test_generate_continues_with_a_public_model(folder, capsys, tmp_path):
    arguments = ["generate", "--model", str(folder), "--prompt", "the cat", "--greedy"]
    assert main([*arguments, "--max-new-tokens", "7"]) == 0
    out, err = capsys.readouterr()
    model, tokenizer = from_pretrained(folder)
    (new,) = generate(model, tokenizer.encode("the cat"), max_new_tokens=7)
    assert out == f"the cat{tokenizer.decode(new)}\n"
    assert f"{len(new)} tokens in" in err
    for wrong in (["generate"], ["generate", "runs/1", "--model", str(folder)]):
        assert main(wrong) == 2
        assert "expected either RUN" in capsys.readouterr().err
    bert = save_sentence_model(tmp_path / "bert")
    assert main(["generate", "--model", str(bert), "--prompt", "a"]) == 2
    assert "minitransformer embed" in capsys.readouterr().err


def test_damaged_weights_are_told(folder, capsys, monkeypatch):
    model, tokenizer = from_pretrained(folder)
    model.norm.gamma.data[...] = np.nan
    monkeypatch.setattr("minitransformer.cli.chat.open_model", lambda where: (model, tokenizer))
    monkeypatch.setattr(sys, "stdin", io.StringIO("the cat\n"))
    assert main(["chat", "--model", str(folder)]) == 0
    assert "weights are damaged" in " ".join(capsys.readouterr().err.split())
