"""Reads from shell scripts and Makefiles which programs they start: the words that stand where a command stands."""

from __future__ import annotations

import re
import shlex

PROGRAM = re.compile(r"[A-Za-z][\w.+-]*\Z")
STARTS_ANOTHER = frozenset(
    {"env", "nice", "nohup", "nsenter", "setsid", "stdbuf", "sudo", "taskset", "timeout", "unshare", "valgrind"}
)
"""Not `chroot`: what that starts is not of this machine."""
_WORDS_OF_THE_SHELL = """
. : [ [[ ! { } break case cd command continue do done echo elif else esac eval exec exit export fi for if local printf pwd
read return set shift then trap ulimit umask unset until wait while
"""
_FOLLOWED_BY_A_COMMAND = frozenset({"!", "{", "command", "do", "elif", "else", "exec", "if", "then", "until", "while"})


def programs_of_shell(text: str) -> list[str]:
    """Return the words of a shell text that stand where a command stands, without the shell's own."""
    found: list[str] = []
    for inner in re.findall(r"\$\(([^()]*)\)", text):
        found += programs_of_shell(inner)
    outer = re.sub(r"\$\([^()]*\)", "$inner", re.sub(r"\\\n", " ", text))
    lexer = shlex.shlex(re.sub(r"(^|\s)#.*", r"\1", outer), posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.commenters = " \t", ""
    is_command, is_file = True, False
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("();|&\n"):
            is_command, is_file = True, False
        elif set(word) <= set("<>&"):
            is_file = True
        elif is_file:
            is_file = False
        elif is_command and not re.match(r"\w+=", word):
            words.append(word)
            is_command = word in _FOLLOWED_BY_A_COMMAND or word in STARTS_ANOTHER
    names = [word.rpartition("/")[2] if word.startswith("/") else word for word in [*words, *found]]
    return [name for name in names if name not in _WORDS_OF_THE_SHELL.split() and PROGRAM.match(name)]


def programs_of_make(text: str) -> list[str]:
    """Return what the recipes of a Makefile start. Variables of make are left out: they name what make has set up."""
    recipes = re.sub(r"\\\n", " ", text)
    lines = [line.lstrip("\t@-+") for line in recipes.splitlines() if line.startswith("\t")]
    return programs_of_shell(re.sub(r"\$\(\w+\)[\w./-]*", "$variable", "\n".join(lines)).replace("$$", "$"))
