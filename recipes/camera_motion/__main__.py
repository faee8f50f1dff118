"""Commands that make the weights in the package, and measure them.

    python -m recipes.camera_motion generate [CORPUS...]    clips, their lists and flow tables
    python -m recipes.camera_motion train [TRAINING...]     videomamba_motion
    python -m recipes.camera_motion styles                  camera_style
    python -m recipes.camera_motion words                   camera_words
    python -m recipes.camera_motion words-benchmark [FOOTAGE...]  sentences on clips it never saw
    python -m recipes.camera_motion benchmark [FOOTAGE...]  right answers on clips it never saw

Needs a checkout with `pip install -e '.[dev]'`, and for everything 35 GB of disk and ten hours of
two CPU cores. The same command again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from recipes.camera_motion import benchmark, words_benchmark
from recipes.camera_motion.corpora import CORPORA, make_corpus
from recipes.camera_motion.styles import train_styles
from recipes.camera_motion.trainings import TRAININGS, train
from recipes.camera_motion.words import copy_without_training, train_words
from vfeat.errors import VfeatError


def main() -> None:
    """Run one command; an error of vfeat becomes its sentence and its exit code."""
    parser = _make_parser()
    args = parser.parse_args()
    try:
        if args.command == "benchmark":
            benchmark.run(args)
            return
        if args.command == "words-benchmark":
            words_benchmark.run(args)
            return
        work = Path(args.work)
        work.mkdir(parents=True, exist_ok=True)
        if args.command == "generate":
            for name in args.corpora or CORPORA:
                print(make_corpus(work, name, args.clips))
        elif args.command == "train":
            train(work, args.trainings or TRAININGS, args.set, args.clips)
        elif args.command == "words":
            made = train_words(work, args.clips)
            if args.into:
                copy_without_training(made, Path(args.into))
        else:
            train_styles(work, args.encoder, args.clips)
    except VfeatError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m recipes.camera_motion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    generate = commands.add_parser("generate", help="make corpora of clips")
    generate.add_argument("corpora", nargs="*", help=f"default: all; {', '.join(CORPORA)}")
    training = commands.add_parser("train", help="train videomamba_motion")
    training.add_argument("trainings", nargs="*", help=f"default: all; {', '.join(TRAININGS)}")
    training.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="on top of the job files"
    )
    styles = commands.add_parser("styles", help="train camera_style")
    styles.add_argument("--encoder", help="its folder; default: the one in the package")
    words = commands.add_parser("words", help="train camera_words")
    words.add_argument("--into", help="folder for the files that a package needs")
    for command in (generate, training, styles, words):
        command.add_argument("--clips", type=int, help="of each corpus, for a trial")
        command.add_argument(
            "--work",
            default="camera-motion",
            help="folder of all that is made; default: %(default)s",
        )
    benchmark.add_flags(commands.add_parser("benchmark", help="measure videomamba_motion"))
    words_benchmark.add_flags(commands.add_parser("words-benchmark", help="measure camera_words"))
    return parser


if __name__ == "__main__":
    main()
