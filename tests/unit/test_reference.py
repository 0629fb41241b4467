"""The READMEs' tables are generated from the program's own tables."""

from pathlib import Path

import pytest

from proxy.commands import reference
from proxy.settings.variables.variable import Variable

MARKS = (
    "# Title\n\n<!-- variables:begin -->\nold\n<!-- variables:end -->\n\n"
    "<!-- labels:begin -->\n<!-- labels:end -->\n"
    "<!-- routing-labels:begin -->\n<!-- routing-labels:end -->\nlast line\n"
)
ROW = Variable(name="MODE", default="a|b", help="which one", help_zh="哪一个", example="a")


def write_readmes(folder: Path, text: str = MARKS) -> None:
    (folder / "README.md").write_text(text)
    (folder / "README.zh-CN.md").write_text(text)


def test_table_has_one_line_for_each_row() -> None:
    table = reference.render_table([ROW], reference.ENGLISH, first_column="variable", prefix="x.")

    expected = "| variable | default | meaning |\n| --- | --- | --- |\n| `x.MODE` | `a\\|b` | which one; e.g. `a` |\n"
    assert expected == table


def test_table_is_written_in_chinese_too() -> None:
    table = reference.render_table([ROW], reference.CHINESE, first_column="环境变量")

    assert "| 环境变量 | 默认值 | 说明 |" in table
    assert "哪一个；例如 `a`" in table


def test_only_what_is_between_the_marks_changes() -> None:
    updated = reference.update_blocks(MARKS, {"variables": "new\n"})

    assert MARKS.replace("old\n", "new\n") == updated


@pytest.mark.parametrize("text", ["", "<!-- variables:begin -->", MARKS + MARKS], ids=["none", "no-end", "twice"])
def test_missing_or_repeated_marks_are_a_fault(text: str) -> None:
    with pytest.raises(ValueError, match="variables:begin"):
        reference.update_blocks(text, {"variables": "new\n"})


def test_check_finds_a_table_out_of_date_and_writes_nothing(tmp_path: Path) -> None:
    write_readmes(tmp_path)

    code = reference.main(["--check"], tmp_path)

    assert 1 == code
    assert MARKS == (tmp_path / "README.md").read_text()


def test_check_is_content_with_what_was_written(tmp_path: Path) -> None:
    write_readmes(tmp_path)

    codes = (reference.main([], tmp_path), reference.main(["--check"], tmp_path))

    assert (0, 0) == codes
    assert "| `ADDITIONAL_SERVICES` |" in (tmp_path / "README.md").read_text()
    assert "| `aliyun.proxy.VIRTUAL_HOST` |" in (tmp_path / "README.zh-CN.md").read_text()


def test_readme_without_marks_ends_with_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_readmes(tmp_path, "no marks")

    with pytest.raises(SystemExit) as caught:
        reference.main([], tmp_path)

    assert 2 == caught.value.code
    assert "README.md: must hold the marks" in capsys.readouterr().err
