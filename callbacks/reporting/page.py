"""The page of a report: one file, no server, no external asset, light and dark."""

from collections.abc import Sequence
from html import escape

from callbacks.reporting.run_folder import StoredSection
from callbacks.sections import Card

STYLE = """
:root { color-scheme: light dark; --paper: #fbfbfa; --ink: #1d2129; --soft: #667080; --line: #dcdfe4; --raised: #fff;
  --accent: #2f6fb0; --warn: #8a4b08; --warn-paper: #fff3e0 }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --ink: #e4e7ec; --soft: #98a2b1; --line: #333a45;
  --raised: #1b1f26; --accent: #7db4ea; --warn: #ffc987; --warn-paper: #33260f } }
* { box-sizing: border-box }
html { scroll-behavior: smooth; scroll-padding-top: 3.5rem }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; font-size: 16px }
header, main, footer, nav ol { max-width: 1120px; margin: 0 auto; padding: 0 1.5rem }
header { padding-top: 2.5rem; padding-bottom: 1.25rem }
header p, footer { color: var(--soft); margin: .25rem 0 0 }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere }
h2 { font-size: 1.3rem; margin: 0 0 .75rem }
h2 small { color: var(--soft); font-size: .75rem; font-weight: 500; border: 1px solid var(--line); border-radius: 1rem;
  padding: .1rem .55rem; margin-left: .5rem; vertical-align: middle }
nav { position: sticky; top: 0; background: var(--paper); border-bottom: 1px solid var(--line); z-index: 1 }
nav ol { display: flex; flex-wrap: wrap; gap: 0 1.25rem; list-style: none; white-space: nowrap; font-size: .9rem }
@media (max-width: 700px) { nav ol { flex-wrap: nowrap; overflow-x: auto } }
nav a { display: block; color: var(--soft); text-decoration: none; padding: .6rem 0 }
nav a:hover { color: var(--accent) }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: .75rem; margin-top: 1.5rem }
.card { background: var(--raised); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem }
.card span, .card small { display: block; color: var(--soft); font-size: .8rem; line-height: 1.35 }
.card strong { display: block; font-size: 1.55rem; font-weight: 650; line-height: 1.3; overflow-wrap: anywhere }
p.banner { max-width: none; background: var(--warn-paper); color: var(--warn); border-left: 4px solid;
  border-radius: .3rem; padding: .7rem 1rem; margin: 1.25rem 0 0; font-weight: 600 }
section { padding: 2rem 0 .5rem }
section + section { border-top: 1px solid var(--line) }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 1rem 2.5rem }
figure { margin: 0 0 1.75rem }
figcaption { color: var(--soft); font-size: .87rem; max-width: 46rem; margin-top: .4rem }
p { max-width: 46rem; margin: 0 0 .75rem }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem 1.5rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--soft); font-weight: 600 }
tbody tr:last-child td { border-bottom: 0 }
.number { text-align: right }
img { image-rendering: pixelated; max-width: 100%; height: auto; border-radius: 3px }
img[src^="data:image/jpeg"] { image-rendering: auto }
svg { display: block; width: 100%; height: auto; overflow: visible }
svg text { font-family: inherit !important }
svg * { stroke-linejoin: round; stroke-linecap: butt }
svg image { image-rendering: pixelated }
.gallery { display: flex; flex-wrap: wrap; gap: .85rem; list-style: none; margin: 0; padding: 0 }
.gallery li { width: 120px; font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere }
.gallery li.together { width: auto }
.gallery img { display: block; margin-bottom: .3rem }
.gallery b, .gallery span { display: block }
.gallery span { color: var(--soft) }
details { border: 1px solid var(--line); border-radius: .6rem; background: var(--raised); margin-bottom: 1.25rem }
summary { cursor: pointer; padding: .6rem 1rem; font-weight: 600 }
pre { margin: 0; padding: 0 1rem 1rem; overflow-x: auto; font-size: .82rem; line-height: 1.45 }
footer { font-size: .85rem; padding-top: 1rem; padding-bottom: 3rem }
.columns > div { min-width: 0 }
@media print { nav { display: none } body { font-size: 11pt } h2 { break-after: avoid }
  figure, .card, tr, li { break-inside: avoid } figure:has(li, tr) { break-inside: auto }
  .columns { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) }
  details::details-content { content-visibility: visible; display: block } }
"""


def render_page(
    title: str, subtitle: str, banner: str, cards: Sequence[Card], sections: Sequence[StoredSection], footer: str
) -> str:
    """The whole page; all arguments are plain text except the sections, which are HTML already."""
    titles = [section.title for section in sections]
    names = [f"{s.title} ({s.stage})" if titles.count(s.title) > 1 and s.stage else s.title for s in sections]
    links = "".join(
        f'<li><a href="#{anchor(s)}">{escape(name)}</a></li>' for s, name in zip(sections, names, strict=True)
    )
    warning = f'<p class="banner" role="alert">{escape(banner)}</p>' if banner else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} – Assay report</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{escape(subtitle)}</p>
{warning}
<div class="cards">{"".join(card.html() for card in cards)}</div>
</header>
<nav aria-label="Sections"><ol>{links}</ol></nav>
<main>
{"".join(render_section(section) for section in sections)}
</main>
<footer>{escape(footer)}</footer>
</body>
</html>
"""


def anchor(section: StoredSection) -> str:
    """Name of a section within the page."""
    return f"{section.stage}-{section.slug}" if section.stage else section.slug


def render_section(section: StoredSection) -> str:
    """A section with its heading, marked with the stage it comes from."""
    mark = f" <small>{escape(section.stage)}</small>" if section.stage else ""
    return f'<section id="{anchor(section)}">\n<h2>{escape(section.title)}{mark}</h2>\n{section.html}\n</section>\n'
