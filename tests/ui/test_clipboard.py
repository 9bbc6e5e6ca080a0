"""What is copied is also kept in a file, which only its owner can read."""

from pathlib import Path

from textual.app import App

from memscope.ui.clipboard import FILE_NAME, copy


def test_the_file_is_private_even_if_it_existed_with_an_open_mode(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    app: App[int] = App()
    assert str(folder / FILE_NAME) in copy(app, "one", folder)
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, folder / FILE_NAME)] == ["0o700", "0o600"]
    (folder / FILE_NAME).chmod(0o644)
    copy(app, "two\udcff", folder)
    assert (folder / FILE_NAME).read_text() == "two?"
    assert (folder / FILE_NAME).stat().st_mode & 0o777 == 0o600
