"""The catalogs of translated texts: `chancai translations update | check`.

English is the message id. `update` collects every text of code and templates into app/translations/*/messages.po,
where translators fill in what is new. The compiled files are not kept in the repository: whoever starts the
application compiles what is missing or older than its source, which takes a moment.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import click
from babel import Locale
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parent.parent
FOLDER = Path(__file__).parent / "translations"
PACKAGES = ("app", "accounts", "labs", "courses", "competitions", "programs")
LOCALES = ("zh_CN", "en")
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "_l": None,
    "lazy_gettext": None,
    "lazy_ngettext": (1, 2),
    "lazy_pgettext": ((1, "c"), 2),
}
NOISE = tuple(  # header lines that say nothing here, or change without a change of the texts
    f'"{name}:'
    for name in (
        "Project-Id-Version",
        "Report-Msgid-Bugs-To",
        "POT-Creation-Date",
        "PO-Revision-Date",
        "Last-Translator",
        "Language-Team",
        "Generated-By",
    )
)
PLACEHOLDER = re.compile(r"%\((\w+)\)s|%%|%(?!\()")


@click.group("translations")
def cli() -> None:
    """Keep the catalogs of translated texts."""


@cli.command("update")
def update_command() -> None:
    """Collect all texts; say what still needs a translation."""
    for locale in LOCALES:
        catalog = updated(locale)
        write(locale, catalog)
        missing = [message for message in texts(catalog) if not _is_filled(message)]
        click.echo(f"{locale}: {len(list(texts(catalog)))} texts, {len(missing)} to translate")
    compile_stale()


@cli.command("check")
def check_command() -> None:
    """Say what is wrong with the catalogs; exit 1 if anything is."""
    found = [fault for locale in LOCALES for fault in faults(locale)]
    for fault in found:
        click.echo(fault)
    raise SystemExit(1 if found else 0)


def compile_stale() -> None:
    """Compile each catalog whose compiled file is missing or older. Safe when several processes start at once."""
    for locale in LOCALES:
        source, target = _path(locale), _compiled(locale)
        if not source.exists():
            continue
        if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            continue
        content = BytesIO()
        write_mo(content, read(locale))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(content.getvalue())
        Path(file.name).chmod(0o644)
        os.replace(file.name, target)


def read(locale: str) -> Catalog:
    path = _path(locale)
    if not path.exists():
        return Catalog(locale=locale, project="Chancai", charset="utf-8")
    with path.open("rb") as file:
        return read_po(file, locale=locale)


def write(locale: str, catalog: Catalog) -> None:
    path = _path(locale)
    path.parent.mkdir(parents=True, exist_ok=True)
    catalog.fuzzy = False
    catalog.header_comment = f"# What people read, in {locale}. Kept by `chancai translations update`."
    content = BytesIO()
    write_po(content, catalog, width=120, sort_output=True, include_lineno=False, ignore_obsolete=True)
    lines = content.getvalue().decode().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(NOISE)))


def updated(locale: str) -> Catalog:
    """The catalog with every text of today, without those that are gone. English needs no translator."""
    catalog = read(locale)
    catalog.update(extracted(), no_fuzzy_matching=True)
    catalog.obsolete.clear()
    if locale == "en":
        for message in texts(catalog):
            message.string = message.id
    return catalog


def extracted() -> Catalog:
    """Every text of code and templates."""
    template = Catalog(project="Chancai", charset="utf-8")
    for package in PACKAGES:
        found = extract_from_dir(
            ROOT / package, METHODS, keywords=KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
        )
        for file, _line, text, comments, context in found:
            template.add(text, None, [(f"{package}/{file}", 0)], auto_comments=comments, context=context)
    return template


def texts(catalog: Catalog) -> Iterator[Message]:
    return (message for message in catalog if message.id)


def faults(locale: str) -> Iterator[str]:
    """Everything that would show a reader a wrong or a foreign text."""
    catalog, today = read(locale), extracted()
    known = {_key(message) for message in texts(catalog)}
    wanted = {_key(message) for message in texts(today)}
    yield from (f"{locale}: not in the catalog: {text!r}" for text, _ in sorted(wanted - known))
    yield from (f"{locale}: used nowhere: {text!r}" for text, _ in sorted(known - wanted))
    for message in texts(catalog):
        name = f"{locale}: {_key(message)[0]!r}"
        if not _is_filled(message):
            yield f"{name}: no translation"
        elif message.fuzzy:
            yield f"{name}: only guessed (fuzzy)"
        elif any(_placeholders(s) != _placeholders(i) for i, s in _pairs(message)):
            yield f"{name}: other placeholders"
    if catalog.obsolete:
        yield f"{locale}: {len(catalog.obsolete)} obsolete texts"


def strings(message: Message) -> tuple[str, ...]:
    """The translations of a text: one, or one for each plural form of the language."""
    return tuple(message.string) if isinstance(message.string, (tuple, list)) else (str(message.string or ""),)


def _is_filled(message: Message) -> bool:
    return bool(strings(message)) and all(strings(message))


def _pairs(message: Message) -> Iterator[tuple[str, str]]:
    """Each translated form beside the form it must agree with; a language without plural uses the plural."""
    if isinstance(message.id, (tuple, list)):
        singular, plural = message.id
        forms = strings(message)
        yield from ((singular if i == 0 and len(forms) > 1 else plural, form) for i, form in enumerate(forms))
    else:
        yield message.id, str(message.string)


def _placeholders(text: str) -> list[str]:
    return sorted(set(found.group(0) for found in PLACEHOLDER.finditer(text)))


def _key(message: Message) -> tuple[str, str]:
    first = message.id[0] if isinstance(message.id, (tuple, list)) else message.id
    return first, message.context or ""


def _path(locale: str) -> Path:
    return FOLDER / locale / "LC_MESSAGES" / "messages.po"


def _compiled(locale: str) -> Path:
    """Where Babel looks: it calls zh_CN by its full name, zh_Hans_CN."""
    return FOLDER / str(Locale.parse(locale)) / "LC_MESSAGES" / "messages.mo"
