"""Each layout of a known data set reads into the same columns; a broken file is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInputError
from training.dataset import Dataset
from training.readers import read_csv, read_folder

LAYOUTS: dict[str, dict[str, str]] = {
    "recbole": {
        "ml-100k.inter": (
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n7\t1\t4\t881250949\n7\t2\t3\t881250950\n"
        ),
        "ml-100k.item": (
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "1\tToy Story\t1995\tAnimation Comedy\n2\tHeat\t1995\tAction\n"
        ),
    },
    "ml-100k": {
        "u.data": "7\t1\t4\t881250949\n7\t2\t3\t881250950\n",
        "u.item": (
            "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
            "2|Heat (1995)|01-Jan-1995||http://x|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
        ),
    },
    "ml-1m": {
        "ratings.dat": "7::1::4::881250949\n7::2::3::881250950\n",
        "movies.dat": "1::Toy Story (1995)::Animation|Comedy\n2::Heat (1995)::Action\n",
    },
    "ml-latest": {
        "ratings.csv": "userId,movieId,rating,timestamp\n7,1,4.0,881250949\n7,2,3.0,881250950\n",
        "movies.csv": "movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n2,Heat (1995),Action\n",
    },
}


def written(folder: Path, files: dict[str, str], encoding: str = "latin-1") -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode(encoding))
    return folder


def check(data: Dataset) -> None:
    assert data.viewers == ("7",)
    assert data.videos.ids == ("1", "2")
    assert data.videos.titles == ("Toy Story", "Heat")
    assert data.videos.years == (1995, 1995)
    assert data.videos.genres == (("Animation", "Comedy"), ("Action",))
    assert data.at_ms.tolist() == [881250949_000, 881250950_000]
    assert data.value.tolist() == [4.0, 3.0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_reads_alike(tmp_path: Path, layout: str) -> None:
    check(read_folder(written(tmp_path, LAYOUTS[layout])))


def test_plain_csv_reads_alike(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "r.csv": "user,item,ts,rating\n7,1,881250949,4\n7,2,881250950,3\n",
            "i.csv": "item,title,genres,overview\n1,Toy Story (1995),Animation|Comedy,Toys\n2,Heat (1995),Action,\n",
        },
    )
    data = read_csv(tmp_path / "r.csv", tmp_path / "i.csv")
    check(data)
    assert data.videos.overviews == ("Toys", "")


def test_what_is_later_might_as_well_not_be_there(tmp_path: Path) -> None:
    early = "user,item,ts,rating\n7,1,10,4\n7,2,20,3\n"
    items = "item\n1\n2\n"
    written(tmp_path, {"r.csv": early + "7,1,30,1\n8,2,30,1\n", "cut.csv": early, "i.csv": items})
    seen = read_csv(tmp_path / "r.csv", tmp_path / "i.csv", until_ms=20_000)
    assert seen.digest() == read_csv(tmp_path / "cut.csv", tmp_path / "i.csv").digest()
    assert seen.at_ms.tolist() == [10_000, 20_000], "watching again later does not undo having watched"
    with pytest.raises(InvalidInputError, match="no interaction up to 9000 ms"):
        read_csv(tmp_path / "r.csv", tmp_path / "i.csv", until_ms=9_000)


def test_ids_stay_what_they_are(tmp_path: Path) -> None:
    written(
        tmp_path,
        {
            "r.csv": 'user,item,ts\nNA,007,1\n"a,b",nan,2\nü☂,1e3,3\n',
            "i.csv": "item,title\n007,\nnan,null\n1e3,x\n",
        },
        "utf-8",
    )
    data = read_csv(tmp_path / "r.csv", tmp_path / "i.csv")
    assert data.viewers == ("NA", "a,b", "ü☂")
    assert data.videos.ids == ("007", "nan", "1e3")
    assert data.videos.titles == ("", "null", "x")
    assert np.isnan(data.value).all()


def test_genres_are_separated_by_bars_or_by_spaces(tmp_path: Path) -> None:
    ratings = "user,item,ts,rating\n7,1,1,4\n"
    for genres, second, expected in [
        ("Science Fiction|War", "Film Noir", (("Science Fiction", "War"), ("Film Noir",))),
        ("Comedy War", "Sci-Fi", (("Comedy", "War"), ("Sci-Fi",))),
        ("(no genres listed)", "", ((), ())),
    ]:
        written(tmp_path, {"r.csv": ratings, "i.csv": f"item,title,genres\n1,a,{genres}\n2,b,{second}\n"})
        assert read_csv(tmp_path / "r.csv", tmp_path / "i.csv").videos.genres == expected


@pytest.mark.parametrize(
    ("ratings", "items", "message"),
    [
        ("user,item\n1,1\n", "item,title\n1,a\n", r"r\.csv: column 'ts' is missing"),
        ("user,item,ts\n1,1,5\n", "title\na\n", r"i\.csv: column 'item' is missing"),
        (
            "user,item,ts\n1,1,5\n1,1,yesterday\n",
            "item\n1\n",
            r"r\.csv: ts of row 2 is no time in seconds: 'yesterday'",
        ),
        ("user,item,ts\n1,1,inf\n", "item\n1\n", "is no time in seconds"),
        ("user,item,ts\n1,1,1700000000000\n", "item\n1\n", "is no time in seconds: '1700000000000'"),
        ("", "item\n1\n", r"r\.csv: cannot be read"),
        ("user,item,ts\n1,1,5,\n", "item\n1\n", r"r\.csv: the lines have more cells than the header"),
        ("user,item,ts\n1,2,5\n", "item\n1\n", "nothing to train on"),
        ("user,item,ts\n", "item\n1\n", "nothing to train on"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, ratings: str, items: str, message: str) -> None:
    written(tmp_path, {"r.csv": ratings, "i.csv": items})
    with pytest.raises(InvalidInputError, match=message):
        read_csv(tmp_path / "r.csv", tmp_path / "i.csv")


def test_ratings_that_are_no_numbers_are_counted(tmp_path: Path) -> None:
    written(
        tmp_path, {"r.csv": 'user,item,ts,rating\n7,1,1,"4,5"\n7,2,2,\n8,1,3,3\n', "i.csv": "item\n1\n2\n"}
    )
    data = read_csv(tmp_path / "r.csv", tmp_path / "i.csv")
    assert "1 ratings are no numbers: they count as none" in data.warnings


def test_a_missing_file_and_an_unknown_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"nowhere\.csv"):
        read_csv(tmp_path / "r.csv", tmp_path / "nowhere.csv")
    with pytest.raises(InvalidInputError, match="known layouts are"):
        read_folder(tmp_path)
