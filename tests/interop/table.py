"""The table of docs/formats.md: what was compared, and what came of it."""

LIMIT = 2e-5
BEGIN = "<!-- the table of tests/interop/interop.py -->"
END = "<!-- its end -->"
BY_TRANSFORMERS = "directory, by transformers"
# What a row's format may end in, and the columns that these get.
CONVERSIONS = {" → engine file": "engine file", " → engine file → ONNX graphs": "graphs of that",
               f" → {BY_TRANSFORMERS}": BY_TRANSFORMERS}


def show(difference):
    """Without the difference itself, which the last bits of a machine's arithmetic change."""
    return "no tower" if difference is None else "≤ 2e-5" if difference <= LIMIT else f"{difference:.1e}"


def show_conversion(column, differences):
    """Images and texts together. What clipc itself reads again was also compared with the model, bit for bit."""
    largest = max(number for number in differences if number is not None)
    return "same bits" if column != BY_TRANSFORMERS and largest <= LIMIT else show(largest)


def split(form):
    """The format itself, and the column of what it was converted to, or None."""
    for ending in sorted(CONVERSIONS, key=len, reverse=True):
        if form.endswith(ending):
            return form[:-len(ending)], CONVERSIONS[ending]
    return form, None


def make_lines(rows):
    """One line for each family and format; precisions of the same outcome share it."""
    sources = {}
    for family, form, precision, differences in rows:
        form, column = split(form)
        cells = sources.setdefault((family, form, precision), {})
        if column:
            cells[column] = show_conversion(column, differences)
        else:
            cells["images"], cells["texts"] = map(show, differences)
    lines = {}
    for (family, form, precision), cells in sources.items():
        outcome = tuple(cells.get(column, "—") for column in ("images", "texts", *CONVERSIONS.values()))
        lines.setdefault((family, form, outcome), []).append(precision)
    return [(family, form, ", ".join(precisions), *outcome) for (family, form, outcome), precisions in lines.items()]


def make_table(rows):
    head = ("family", "format", "weights", "images", "texts", *CONVERSIONS.values())
    lines = [head, ["---"] * len(head), *make_lines(rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def write_table(document, rows):
    text = document.read_text()
    before, rest = text.split(BEGIN)
    document.write_text(f"{before}{BEGIN}\n{make_table(rows)}\n{END}{rest.split(END)[1]}")
