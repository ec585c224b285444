"""`timestore crashtest`: kill real processes at random, then prove that the published rows are the acknowledged ones.

journal     the batches that a producer intends to send and the answers that it gets; the test's only source of truth
workload    batches whose rows carry their producer, the batch's number of rows, and a checksum each
roles       flushers, recovery and a maintainer; `producer` and `reader` are the others: the processes that are killed
phases      the current phase of each process, in memory that the killer can read
fork_server the warm parent that forks, kills and restarts the processes in tens of milliseconds
oracle      compares the journals with the Delta table's own files, without the product's code
sabotage    faults that can be built in, to show that the test finds them
"""
