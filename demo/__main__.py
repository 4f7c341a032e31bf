"""`python -m demo`: the commands that a newcomer would type, run on Python's own documentation.

Every step is a real `msmctl` command, shown before it runs. What is fresh is skipped by the commands
themselves, so that a second run is short. The stack stays up.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from cli.main import report, root
from cli.progress import clock
from demo.corpus import Corpus, build
from services.api.keys.key import mint
from services.api.keys.store import KeyStore
from services.collections.collection import Collection
from services.collections.current import existing
from services.elastic.client import connect
from services.errors import MsmError
from services.settings import Settings, load
from services.stack.endpoints import endpoints
from services.store import Store

COLLECTION = "python"
SYSTEM = "all-MiniLM-L6-v2"
CE = "ce-python"
QUESTIONS = (
    "run a program and capture its output",
    "wait until all threads have arrived",
    "send an email over an encrypted connection",
)


@dataclass
class Demo:
    """The demo's steps, in order.

    Attributes:
        settings: Of this machine.
        folder: Where the demo's own files lie.
        steps: That the cross-encoder is trained; so many, whatever the machine, so that it learns the same.
        margin: Logits that a negative lies below the lowest positive.
    """

    settings: Settings
    folder: Path
    steps: int = 450
    margin: float = 1
    _step: int = field(default=0, init=False)

    def run(self) -> None:
        """All steps.

        Raises:
            MsmError: a step failed.
        """
        began = time.monotonic()
        self.title("Start the local stack")
        self.msmctl("up")
        corpus = self.corpus()
        self.collection(corpus)
        self.title(f"Encode every passage with {SYSTEM} and build the hybrid index")
        self.msmctl("index", "build", "--collection", COLLECTION, "--system", SYSTEM)
        self.title("Mine the best candidates of both systems for every training query")
        self.msmctl(
            "mine", "--collection", COLLECTION, "--system", "bm25", "--system", SYSTEM, "--split", "train"
        )
        self.title("Export hard negatives, and verify the file against the collection")
        negatives = str(self.folder / "negatives.jsonl.gz")
        self.msmctl(
            "export", "hard-negatives", "--collection", COLLECTION, "--split", "train", "-o", negatives
        )
        self.msmctl("verify", negatives, "--collection", COLLECTION)
        self.filtered()
        self.title("Measure BM25, dense and both together on questions of modules that were kept apart")
        self.msmctl(
            "evaluate", "--collection", COLLECTION, "--split", "test", "--system", f"bm25,{SYSTEM},hybrid"
        )
        self.title("Ask, and see how each answer came about")
        for question in QUESTIONS:
            self.msmctl("search", question, "--collection", COLLECTION, "--size", "3", "--explain")
        self.farewell(time.monotonic() - began, self.key())

    # -- steps -------------------------------------------------------------------------------------

    def corpus(self) -> Corpus:
        """Make the corpus of this Python, or find it."""
        self.title("Collect the documentation that ships with this Python")
        corpus = build(self.folder / "corpus")
        counts = ", ".join(f"{split} {count:,}" for split, count in corpus.queries.items())
        total = sum(corpus.queries.values())
        fresh = "" if corpus.made else ": made before, still fresh"
        say(f"{corpus.passages:,} passages, {total:,} queries ({counts}) in {corpus.folder}{fresh}")
        return corpus

    def collection(self, corpus: Corpus) -> None:
        """Import the corpus, unless the very same was imported before."""
        self.title("Import it as a collection")
        store = Store(self.settings.store_url)
        note = self.folder / "imported.json"
        there = COLLECTION in existing(store)
        if there and note.exists():
            state = Collection.open(store, COLLECTION).state
            if json.loads(note.read_text("utf-8")) == [corpus.made_from, state.fingerprint]:
                say(f"fresh, skipped: collection {COLLECTION} holds these {state.live_passages:,} passages")
                return
        if there:  # of another Python: its documentation differs
            self.msmctl("collection", "rm", COLLECTION, "--yes")
        self.msmctl("collection", "import", COLLECTION, "--beir", str(corpus.folder),
                    "--field", "kind:keyword", "--field", "module:keyword")  # fmt: skip
        state = Collection.open(store, COLLECTION).state
        note.write_text(json.dumps([corpus.made_from, state.fingerprint]), "utf-8")

    def filtered(self) -> None:
        """Negatives that a cross-encoder has looked at: the smallest that shows how."""
        on = ("--collection", COLLECTION, "--split", "train")
        self.title("Train a cross-encoder of two layers on them, for some two minutes")
        self.msmctl("train", "ce-bce", *on, "--name", CE, "--set", "layers=2",
                    "--set", f"steps={self.steps}")  # fmt: skip
        self.title("Score the best ten candidates of each system for 300 of the queries")
        self.msmctl("score", *on, "--ce", CE, "--top", "10", "--queries", "300")
        self.title("Leave out likely positives, and draw how far negatives lie below the positives")
        judged = (*on, "--ce", CE, "--filter", f"ce-margin={self.margin:g}")
        filtered, triplets, plot = (
            str(self.folder / name) for name in ("filtered.jsonl.gz", "triplets", "margins.png")
        )
        self.msmctl("export", "hard-negatives", *judged, "-o", filtered)
        self.msmctl("export", "triplet-hard", *judged, "-o", triplets)
        self.msmctl("negatives", "stats", *judged, "--plot", plot)

    def key(self) -> str:
        """A key for the page, for a week; those of earlier runs count no more."""
        keys = KeyStore(connect(self.settings), self.settings)
        for one in keys.all():
            if one.name == "demo" and one.revoked is None:
                keys.revoke(one.id)
        kept, text = mint(["admin"], name="demo", expires=datetime.now(UTC) + timedelta(days=7))
        keys.add(kept)
        return text

    def farewell(self, seconds: float, key: str) -> None:
        """Where everything lies, and what to type next."""
        home = self.settings.home
        say(f"""
Done in {clock(seconds)}. The stack is still running.

  the page         {endpoints(self.settings).api_url}
  key for it       {key} (for a week)

  state            {home} (MSM_HOME)
  collection       {self.settings.store_url}/collections/{COLLECTION}
  hard negatives   {self.folder / "negatives.jsonl.gz"}, and beside it its manifest
                   filtered.jsonl.gz there: those that the cross-encoder was asked about and calls negatives
  triplets         {self.folder / "triplets"}: datasets.load_dataset(FOLDER, "triplet-hard")
  margins          {self.folder / "margins.png"}: a plot by system
  corpus           {self.folder / "corpus"} (BEIR format)
  Elasticsearch    `msmctl status` has its address; `msmctl credentials reader --json` a user who may read
                   alias {self.settings.index(COLLECTION)}: the passages, their text and vectors

Next:
  . .venv/bin/activate
  msmctl search "copy a folder with all that is in it" --collection {COLLECTION}
  msmctl collection import mine --passages passages.tsv --queries train=queries.tsv --qrels train=qrels.tsv
  msmctl mine --collection mine --system bm25 --system {SYSTEM}
  msmctl jobs ls
  msmctl down                      stops the stack; nothing is lost
""")

    # -- saying and doing --------------------------------------------------------------------------

    def title(self, text: str) -> None:
        """Head a step."""
        self._step += 1
        say(f"\n{click.style(f'{self._step}. {text}', bold=True)}")

    def msmctl(self, *arguments: str) -> None:
        """Show a command, run it, say how long it took."""
        say(click.style(f"$ msmctl {shlex.join(arguments)}", fg="cyan"))
        began = time.monotonic()
        code = root.main(list(arguments), prog_name="msmctl", standalone_mode=False)
        if isinstance(code, int) and code:
            raise MsmError(f"`msmctl {arguments[0]}` ended with exit code {code}", hint="see above")
        say(click.style(f"  ({clock(time.monotonic() - began)})", dim=True))


def say(text: str) -> None:
    """A line, in order with what the commands print."""
    sys.stderr.flush()
    click.echo(text)
    sys.stdout.flush()


def main() -> int:
    """Run the demo; the exit code."""
    try:
        settings = load()
        folder = settings.home / "demo"
        folder.mkdir(parents=True, exist_ok=True)
        Demo(settings, folder).run()
    except MsmError as error:
        say("\nThe demo stopped: what was done so far is kept, and `make demo` goes on from there.")
        report(error)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("\ninterrupted: `make demo` goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
