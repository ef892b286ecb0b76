#!/usr/bin/env python3
"""Makes train/*.jsonl and valid/*.jsonl from public-domain text inside three Debian 12 packages.

    apt-get download fortunes-zh bible-kjv bible-kjv-text
    make_corpus.py FOLDER_WITH_THE_THREE_DEB_FILES

Chinese: poems and classics from fortunes-zh 2.98 (files tang300, song100 and, by attribution, chinese).
Only works whose authors died before 1800 are taken; everything else in the package is left out.
English: two books of the King James Version (1611), printed by the program `bible`.
One JSON object with `text` per line, one poem, saying or chapter each; every 20th goes to valid/.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
POETS = ["辛弃疾", "苏轼", "李煜", "柳永", "李白", "吴文英", "陆游", "晏几道", "姜夔", "欧阳修", "晏殊",
         "杜甫", "白居易", "韦庄", "温庭筠", "李商隐", "王维", "范成大", "李清照", "王安石", "范仲淹",
         "秦观", "岳飞", "文天祥", "杜牧", "杨万里", "刘禹锡", "王昌龄"]
BOOKS = ["ps1:1-150:6", "ec1:1-12:14"]


def unpack(debs, folder):
    for name in ("fortunes-zh", "bible-kjv", "bible-kjv-text"):
        found = sorted(debs.glob(f"{name}_*.deb"))
        if not found:
            sys.exit(f"{debs} has no {name}_*.deb")
        subprocess.run(["dpkg-deb", "-x", found[-1], folder], check=True)


def cookies(path):
    text = re.sub(r"\x1b\[[0-9;]*m", "", path.read_text(encoding="utf-8"))
    for item in re.split(r"^%$", text, flags=re.MULTILINE):
        lines = [line.strip() for line in item.strip().split("\n")]
        yield "\n".join(line for line in lines if line)


def is_classic(text):
    """Attributed to an old classic or to one of the poets above."""
    last = text.split("\n")[-1]
    if re.match(r"--\s*(《道德经》|《增广贤文》)", last):
        return True
    if re.match(r"《詩經‧ ?國風", text):
        return True
    return any(re.match(rf"--\s*{poet}\s*《", last) for poet in POETS)


def chapters(root, books):
    for passage in books:
        done = subprocess.run([root / "usr/bin/bible", "-p", f"{root}/usr/lib/", "-f", passage],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        chapter = {}
        for line in done.stdout.splitlines():
            place, _, verse = line.partition(" ")
            chapter.setdefault(place.split(":")[0], []).append(verse.strip())
        yield from ("\n".join(verses) for verses in chapter.values())


def write(name, texts):
    for folder, keep in (("train", lambda i: i % 20 != 19), ("valid", lambda i: i % 20 == 19)):
        path = HERE / folder / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        rows = [json.dumps({"text": t}, ensure_ascii=False) for i, t in enumerate(texts) if keep(i)]
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        print(path.relative_to(HERE), len(rows), "rows", path.stat().st_size, "bytes")


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        unpack(pathlib.Path(sys.argv[1]), root)
        fortunes = root / "usr/share/games/fortunes"
        write("tang_poems", [t for t in cookies(fortunes / "tang300") if t])
        write("song_poems", [t for t in cookies(fortunes / "song100") if t])
        write("chinese_classics", [t for t in cookies(fortunes / "chinese") if t and is_classic(t)])
        write("psalms_ecclesiastes", list(chapters(root, BOOKS)))


main()
