"""Chat templates of checkpoints, which are programs of strangers."""

import json
import sys

import pytest

from minitransformer.errors import InputError
from minitransformer.pretrained import ChatTemplate, load_chat_template

pytestmark = pytest.mark.systems

pytest.importorskip("jinja2", reason="chat templates are written for it")

TEMPLATE = """\
{% for message in messages %}
    {% if message['role'] not in ['user', 'assistant'] %}
        {{ raise_exception('unknown role ' + message['role']) }}
    {% endif %}
{{ '<' + message['role'] + '>' + message['content'] + eos_token }}
{% endfor %}
{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"""
HELLO = [{"role": "user", "content": "Hi {{ 7 * 7 }}"}]


def test_a_conversation_is_written_as_the_template_says():
    template = ChatTemplate(TEMPLATE, {"eos_token": "</s>"})
    assert template.render(HELLO) == "<user>Hi {{ 7 * 7 }}</s>\n<assistant>"
    assert template.render(HELLO, add_generation_prompt=False) == "<user>Hi {{ 7 * 7 }}</s>\n"
    with pytest.raises(InputError, match="unknown role robot"):
        template.render([{"role": "robot", "content": ""}])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% include '/etc/passwd' %}",
        "{{ raise_exception.__globals__['re'] }}",
        "{{ range(10**9) | list }}",
        "{{ 1 / 0 }}",
        "{% if %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    ],
)
def test_a_template_gets_out_of_its_sandbox_nowhere(source):
    with pytest.raises(InputError, match="the chat template"):
        ChatTemplate(source, {}).render(HELLO)


def test_templates_are_found_in_folders(tmp_path):
    assert load_chat_template(tmp_path) is None
    config = {"chat_template": TEMPLATE, "eos_token": {"content": "</s>"}, "bos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    assert load_chat_template(tmp_path) == ChatTemplate(TEMPLATE, {"eos_token": "</s>"})
    (tmp_path / "chat_template.jinja").write_text("newer", encoding="utf-8")
    assert load_chat_template(tmp_path).render(HELLO) == "newer"


def test_what_is_no_template_is_refused(tmp_path):
    for wrong in (7, "x" * 200_000):
        text = json.dumps({"chat_template": wrong})
        (tmp_path / "tokenizer_config.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="chat_template is .* expected a text"):
            load_chat_template(tmp_path)


def test_without_jinja_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2.sandbox", None)
    with pytest.raises(InputError, match=r'pip install "minitransformer\[chat\]"'):
        ChatTemplate("", {}).render(HELLO)
