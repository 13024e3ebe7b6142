# plain_log.awk: a log as its readers take it: {"resumed":STEP} takes back what was written before it about
# later steps, and a line that a power cut left without its end does not count. Without the surroundings
# and what a clock says, so that a run and the same run in pieces give the same.
/^\{"folio"/ { next }
!/\}$/ { next }
/^\{"resumed":/ {
    split($0, at, /[:}]/)
    while (n > 0 && step[n] > at[2] + 0) n--
    next
}
{
    split($0, at, /[:,]/)
    step[++n] = at[2] + 0
    gsub(/"(seconds|tokens_per_second)":[0-9.e+-]+,?/, "")
    sub(/,\}/, "}")
    line[n] = $0
}
END { for (i = 1; i <= n; i++) print line[i] }
