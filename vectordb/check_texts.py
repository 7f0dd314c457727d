"""Texts on which an exported encoder must say what the reference says: real titles, and odd texts."""

from __future__ import annotations

from typing import Final

from vectordb.encoder import video_text

# Title, year of release, genres.
_FILMS: Final = """
Toy Story|1995|Animation, Children's, Comedy
GoldenEye|1995|Action, Adventure, Thriller
Heat|1995|Action, Crime, Thriller
Casino|1995|Drama
Sense and Sensibility|1995|Drama, Romance
Twelve Monkeys|1995|Drama, Sci-Fi
Dead Man Walking|1995|Drama
Seven|1995|Crime, Thriller
Babe|1995|Children's, Comedy, Drama
Taxi Driver|1976|Drama, Thriller
Apollo 13|1995|Action, Drama, Thriller
Batman Forever|1995|Action, Adventure, Comedy
Crimson Tide|1995|Drama, Thriller, War
Star Wars|1977|Action, Adventure, Romance, Sci-Fi, War
Pulp Fiction|1994|Crime, Drama
The Shawshank Redemption|1994|Drama
Forrest Gump|1994|Comedy, Romance, War
The Lion King|1994|Animation, Children's, Musical
Speed|1994|Action, Romance, Thriller
Jurassic Park|1993|Action, Adventure, Sci-Fi
Blade Runner|1982|Film-Noir, Sci-Fi
The Nightmare Before Christmas|1993|Children's, Comedy, Musical
Terminator 2: Judgment Day|1991|Action, Sci-Fi, Thriller
Dances with Wolves|1990|Adventure, Drama, Western
The Silence of the Lambs|1991|Drama, Thriller
Fargo|1996|Crime, Drama, Thriller
Mission: Impossible|1996|Action, Adventure, Mystery
The Godfather|1972|Action, Crime, Drama
Psycho|1960|Horror, Romance, Thriller
Casablanca|1942|Drama, Romance, War
The Maltese Falcon|1941|Film-Noir, Mystery
The Wizard of Oz|1939|Adventure, Children's, Drama, Musical
Gone with the Wind|1939|Drama, Romance, War
Citizen Kane|1941|Drama
2001: A Space Odyssey|1968|Drama, Mystery, Sci-Fi, Thriller
Mary Poppins|1964|Children's, Comedy, Musical
Die Hard|1988|Action, Thriller
Monty Python and the Holy Grail|1974|Comedy
The Empire Strikes Back|1980|Action, Adventure, Drama, Sci-Fi
The Princess Bride|1987|Action, Adventure, Comedy, Romance
Raiders of the Lost Ark|1981|Action, Adventure
Aliens|1986|Action, Sci-Fi, Thriller, War
The Good, the Bad and the Ugly|1966|Action, Western
12 Angry Men|1957|Drama
A Clockwork Orange|1971|Sci-Fi
Apocalypse Now|1979|Drama, War
GoodFellas|1990|Crime, Drama
Alien|1979|Action, Horror, Sci-Fi, Thriller
Amadeus|1984|Drama, Mystery
Chinatown|1974|Film-Noir, Mystery, Thriller
The Graduate|1967|Drama, Romance
Groundhog Day|1993|Comedy, Romance
Unforgiven|1992|Western
Back to the Future|1985|Comedy, Sci-Fi
Young Frankenstein|1974|Comedy, Horror
Fantasia|1940|Animation, Children's, Musical
The Shining|1980|Horror
Stand by Me|1986|Adventure, Comedy, Drama
Jaws|1975|Action, Horror
Men in Black|1997|Action, Adventure, Comedy, Sci-Fi
Titanic|1997|Action, Drama, Romance
L.A. Confidential|1997|Crime, Film-Noir, Mystery, Thriller
The Fifth Element|1997|Action, Sci-Fi
Scream|1996|Horror, Thriller
Trainspotting|1996|Drama
Evita|1996|Drama, Musical
The English Patient|1996|Drama, Romance, War
Jerry Maguire|1996|Drama, Romance
Hoop Dreams|1994|Documentary
Crumb|1994|Documentary
Il Postino|1994|Drama, Romance
Das Boot|1981|Action, Drama, War
Delicatessen|1991|Comedy, Sci-Fi
Chungking Express|1994|Drama, Mystery, Romance
La Cité des enfants perdus|1995|Adventure, Sci-Fi
Wallace & Gromit: A Close Shave|1995|Animation, Comedy, Thriller
101 Dalmatians|1996|Children's, Comedy
Snow White and the Seven Dwarfs|1937|Animation, Children's, Musical
Grease|1978|Comedy, Musical, Romance
High Noon|1952|Western
"""


def _film(line: str) -> str:
    title, year, genres = line.split("|")
    return video_text(title, int(year), genres.split(", "))


ODD_TEXTS: Final = (
    "",
    "a",
    "films about robots who learn to feel",
    "Amélie, Ægteskab, Ñandú, Ça va?",
    "七人の侍",
    "Сталкер и Солярис Тарковского",
    "🚀 🎬 !!! ... ???",
    "line one\nline two\ttabbed",
    "x" * 300,
    "A family moves to a quiet town by the sea. " * 80,
)
CHECK_TEXTS: Final = (*map(_film, _FILMS.strip().splitlines()), *ODD_TEXTS)
