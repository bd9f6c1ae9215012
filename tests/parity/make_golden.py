"""Makes the golden models anew:  make_golden.py DIRECTORY [--large]"""
import argparse

import golden_models
import golden_siglip

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("directory")
parser.add_argument("--large", action="store_true", help="the models that are too large to be kept")
arguments = parser.parse_args()
for models in (golden_models, golden_siglip):
    models.make_all(models.LARGE if arguments.large else models.SMALL, arguments.directory)
