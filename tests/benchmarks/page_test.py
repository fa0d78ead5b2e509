"""The page of rowlock-bench in a real browser: it renders, has its charts, in which no label is over another or cut off,
and loads nothing.

usage: page_test.py ROWLOCK_BENCH

Skipped where no Chromium is installed.
"""
import html
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77


def find_browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


class Page(html.parser.HTMLParser):
    """Counts elements, and gathers what they would load."""

    def __init__(self):
        super().__init__()
        self.elements = {}
        self.loads = []
        self.titles = []

    def handle_starttag(self, tag, attributes):
        self.elements[tag] = self.elements.get(tag, 0) + 1
        self.loads += [value for name, value in attributes if name in ("src", "href", "xlink:href", "data")]
        self.titles += [value for name, value in attributes if tag == "svg" and name == "aria-label"]


def browse(browser, home, *arguments):
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               f"--user-data-dir={home}/profile", *arguments]
    return subprocess.run(command, check=True, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env={**os.environ, "HOME": str(home)}).stdout


# Says in an attribute of the page which labels of its charts overlap, or are not whole.
MEASURE = """<script>
const wrong = [];
for (const chart of document.querySelectorAll('svg')) {
  const frame = chart.getBoundingClientRect();
  const labels = [...chart.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  labels.forEach(([text, box], i) => {
    if (box.width === 0) wrong.push('not drawn: ' + text);
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 ||
        box.bottom > frame.bottom + 1) wrong.push('cut off: ' + text);
    for (const [other, place] of labels.slice(i + 1))
      if (box.left < place.right - 1 && place.left < box.right - 1 && box.top < place.bottom - 3 &&
          place.top < box.bottom - 3) wrong.push('overlap: ' + text + ' | ' + other);
  });
}
document.documentElement.setAttribute('data-wrong', JSON.stringify(wrong));
</script></body>"""


def wrong_labels(browser, home, page):
    """What a script finds that is put into a copy of the page, which has none itself."""
    copy = home / "measured.html"
    copy.write_text(page.replace("</body>", MEASURE))
    dom = browse(browser, home, "--window-size=1240,2000", "--dump-dom", copy.as_uri()).decode()
    return json.loads(html.unescape(re.search('data-wrong="([^"]*)"', dom).group(1)))


def check(condition, what):
    if not condition:
        sys.exit(f"page_test: {what}")


def main():
    browser = find_browser()
    if not browser:
        print("no Chromium is installed")
        return SKIPPED
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        file = home / "page.html"
        # Real measurements of what every build has; six passes are enough for a ratio.
        subprocess.run([sys.argv[1], "--url", "memory:", "--url", f"flock:{home}", "--quick", "--passes", "6",
                        "--html", file], check=True, timeout=200, stdout=subprocess.DEVNULL)
        page = Page()
        page.feed(browse(browser, home, "--dump-dom", file.as_uri()).decode())
        for title in ("Ratio to the bare driver", "Acquire + release", "Hand-over", "Fairness", "Hand-over: share", "From the death"):
            check(any(t.startswith(title) for t in page.titles), f"no chart \"{title}\" among {page.titles}")
        check(page.elements.get("script", 0) == 0, "there is a script")
        check(not page.loads, f"it refers to {page.loads}")
        check(not re.search(r"url\(|@import", file.read_text()), "its style loads something")
        text = file.read_text()
        wrong = wrong_labels(browser, home, text)
        check(not wrong, f"labels: {wrong[:20]}")
        # Those of a chart that is far too narrow would be found.
        narrow = re.sub("<text x='[0-9.]+'", "<text x='60'", text)
        check(wrong_labels(browser, home, narrow), "labels upon each other are not found")
        pdf = home / "page.pdf"
        browse(browser, home, f"--print-to-pdf={pdf}", file.as_uri())
        sheets = len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf.read_bytes()))
        check(sheets >= 2, f"printed, it has {sheets} sheets")
    return 0


if __name__ == "__main__":
    sys.exit(main())
