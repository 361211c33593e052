"""Which files a recipe is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from fox_hpc import RecipeError
from fox_hpc.export.sources import binds, find_sources, module_names

FILES = {
    "job.py": "import json\nimport numpy\nimport client\nfrom ns import part\nimport fox_hpc\n",
    "client.py": "def later():\n    from pkg.inner import data\n",
    "script.py": "import client, helper_of_script\n",
    "helper_of_script.py": "",
    "not_wanted.py": "",
    "ns/part.py": "",
    "ns/other.py": "",
    "pkg/__init__.py": "",
    "pkg/inner.py": "from . import by_name\n",
    "pkg/by_name.py": "import client\n",
    "pkg/.hidden.py": "",
    "fox_hpc.py": "",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_are_followed_and_a_package_comes_whole(root: Path) -> None:
    found = find_sources(root / "job.py", [], [root])
    package = ["pkg/__init__.py", "pkg/by_name.py", "pkg/inner.py"]

    assert list(found) == ["client.py", "job.py", "ns/part.py", *package]
    assert found["ns/part.py"] == root / "ns" / "part.py"
    assert module_names(found) == ["client", "job", "ns", "pkg"]


def test_modules_that_are_only_named_belong_to_it(root: Path) -> None:
    found = find_sources(root / "job.py", ["script", "numpy", "json"], [root])

    assert {"script.py", "helper_of_script.py"} <= set(found)


def test_the_first_root_wins(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = tmp_path_factory.mktemp("first")
    (first / "client.py").write_text("")

    assert find_sources(root / "job.py", [], [first, root])["client.py"] == first / "client.py"


def test_a_file_that_is_not_python_is_named(root: Path) -> None:
    (root / "client.py").write_text("def :\n")
    with pytest.raises(RecipeError, match=r"client\.py cannot be read as Python: invalid syntax"):
        find_sources(root / "job.py", [], [root])


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("recipe = make()", True),
        ("if True:\n    recipe: object = make()", True),
        ("from job import recipe", False),
        ("if __name__ == '__main__':\n    recipe = make()", False),
        ("def main():\n    recipe = make()", False),
    ],
    ids=["assigned", "in-a-branch", "imported", "guarded", "in-a-function"],
)
def test_a_name_is_bound_where_loading_the_file_assigns_it(tmp_path: Path, text: str, bound: bool) -> None:
    file = tmp_path / "job.py"
    file.write_text(text)

    assert binds(file, "recipe") is bound
