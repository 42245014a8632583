"""Writes days-2024-2030.csv: what each day of seven years is in the three systems, by first principles.

Nothing of Patio is used. Dates are counted in days from 1 January 2024, a Monday; seasons and holidays are found by
walking through the days, not by rules; the hours are the rows of CFE's tariff page for GDMTH, written out once more.
"""

import sys

LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]


def days():
    weekday = 0
    for year in range(2024, 2031):
        leap = year % 4 == 0
        for month in range(1, 13):
            length = LENGTHS[month - 1] + (1 if leap and month == 2 else 0)
            for day in range(1, length + 1):
                yield year, month, day, weekday, length
                weekday = (weekday + 1) % 7


def holiday(year, month, day, weekday):
    fixed = {(1, 1), (5, 1), (9, 16), (12, 25)}
    if (month, day) in fixed:
        return True
    if weekday == 0:
        if month == 2 and day <= 7:
            return True
        if month in (3, 11) and 15 <= day <= 21:
            return True
    return (month, day) == (10, 1) and year in (2024, 2030)


def spread(text):
    """`B6 I14 P2 I2` as 24 letters."""
    return "".join(part[0] * int(part[1:]) for part in text.split())


HOURS = {
    ("SIN", "summer", "weekday"): "B6 I14 P2 I2",
    ("SIN", "summer", "saturday"): "B7 I17",
    ("SIN", "summer", "sunday"): "B19 I5",
    ("SIN", "winter", "weekday"): "B6 I12 P4 I2",
    ("SIN", "winter", "saturday"): "B8 I11 P2 I3",
    ("SIN", "winter", "sunday"): "B18 I6",
    ("BC", "summer", "weekday"): "I14 P4 I6",
    ("BC", "summer", "saturday"): "I24",
    ("BC", "summer", "sunday"): "I24",
    ("BC", "winter", "weekday"): "B17 I5 B2",
    ("BC", "winter", "saturday"): "B18 I3 B3",
    ("BC", "winter", "sunday"): "B24",
    ("BCS", "summer", "weekday"): "I12 P10 I2",
    ("BCS", "summer", "saturday"): "I19 P3 I2",
    ("BCS", "summer", "sunday"): "I24",
    ("BCS", "winter", "weekday"): "B18 I4 B2",
    ("BCS", "winter", "saturday"): "B18 I3 B3",
    ("BCS", "winter", "sunday"): "B19 I2 B3",
}
for key, text in HOURS.items():
    assert len(spread(text)) == 24, key


def main(out):
    out.write("date,weekday,holiday,SIN,BC,BCS\n")
    # Winter runs over the new year; each season lasts until a day is met that begins the next one.
    season = {"SIN": "winter", "BC": "winter", "BCS": "winter"}
    names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    for year, month, day, weekday, length in days():
        sunday = weekday == 6
        if month == 4 and sunday and day <= 7:
            season["SIN"] = season["BCS"] = "summer"
        if (month, day) == (5, 1):
            season["BC"] = "summer"
        if month == 10 and sunday and day + 7 > length:
            season = dict.fromkeys(season, "winter")
        rest = holiday(year, month, day, weekday)
        kind = "sunday" if rest or sunday else "saturday" if weekday == 5 else "weekday"
        columns = [f"{'S' if season[s] == 'summer' else 'W'} {HOURS[s, season[s], kind]}" for s in ("SIN", "BC", "BCS")]
        out.write(f"{year}-{month:02}-{day:02},{names[weekday]},{'yes' if rest else 'no'},{','.join(columns)}\n")


main(sys.stdout)
