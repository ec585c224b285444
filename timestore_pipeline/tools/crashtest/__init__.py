"""`timestore crashtest`: kill real processes at random, then prove that what was acknowledged is what was published.

journal    what a producer set out to send and what it was told, in a file of its own: the only truth of the test
workload   batches whose rows carry who sent them, how many they are, and a checksum each
roles      producers, flushers, recovery, a maintainer and a reader: the processes that are killed
phases     what a process is doing at this instant, where its killer can see it
fork_server the warm parent that forks, kills and restarts them in tens of milliseconds
oracle     journals against the Delta table's own files, without the product's code
sabotage   faults one can build in, to see that the test finds them
"""
