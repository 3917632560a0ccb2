"""Are two expressions equal? Tries to prove it, then compares them at random places. Exit code 0: equal, 1: not."""

import random
import sys

import sympy

if len(sys.argv) != 3:
    sys.exit("usage: check.py EXPRESSION OTHER")
one, other = map(sympy.sympify, sys.argv[1:])
if sympy.simplify(one - other) == 0:
    print("equal: the difference simplifies to 0")
    sys.exit(0)
symbols = sorted((one - other).free_symbols, key=str)
chance = random.Random(0)
places = 0
for _ in range(50):
    values = {symbol: sympy.Rational(chance.randint(-400, 400), 97) for symbol in symbols}
    difference = (one - other).subs(values).evalf(30)
    if not difference.is_number or difference.has(sympy.nan, sympy.zoo, sympy.oo):
        continue
    places += 1
    if abs(difference) > sympy.Float("1e-18"):
        print(f"not equal: at {values} they differ by {difference}")
        sys.exit(1)
print(f"no proof, but equal at {places} random places")
