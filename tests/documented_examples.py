"""Writes the C++ examples of a page to files, so that the tests compile what the page shows.

    documented_examples.py PAGE.md OUT_1.cpp OUT_2.cpp ...

The n-th ```cpp fence goes to the n-th file; another number of fences than of files is an error. A #line directive makes
compilers name the page. Files that are up to date are left alone.
"""

import sys
from pathlib import Path


def examples(page: Path) -> list[str]:
    found, inside = [], False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.startswith("```"):
            inside = not inside and line == "```cpp"
            if inside:
                found.append(f'#line {number + 1} "{page}"\n')
        elif inside:
            found[-1] += line + "\n"
    return found


def main():
    page, outputs = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    found = examples(page)
    if len(found) != len(outputs):
        print(f"{page}: found {len(found)} C++ examples, expected {len(outputs)}", file=sys.stderr)
        return 2
    for text, output in zip(found, outputs):
        output.parent.mkdir(parents=True, exist_ok=True)
        if not output.exists() or output.read_text() != text:
            output.write_text(text)
    return 0


sys.exit(main())
