"""Names that results give to statistics of a variable: the name of the variable with one of these suffixes."""

MEAN = "_mean"
SPREAD = "_spread"
SUSPECT = "_suspect"  # 1 where an observation was down-weighted
MEMBERS = "_members"  # draws of a record whose own variable holds the filled values
FLAG = "_flag"  # origin of each value
SUFFIXES = (MEAN, SPREAD, SUSPECT, MEMBERS, FLAG)  # in the order of a result
