// Package job does one thing to many runs, or to many dead letters, at a rate. A job is
// itself a workflow, of the built-in type Type, so that it survives what workflows survive.
//
//   - J1 A job is about what was there when it was made: runs that were started, and dead
//     letters that were written, until then. It goes from partition to partition, in each
//     from the newest start to the oldest, and comes to each run once; whether a run fits
//     the filter is decided when the job comes to it. A filter's now is when the job was made.
//   - J2 A run gets at most one command of a job, whatever crashes: the command's ID is made
//     of the job's and the run's. It names the run, so that no later run gets it.
//   - J3 The rate holds over the whole job, pages and partitions included.
//   - J4 A job that is cancelled ends the page that it is at, and completes with what it has
//     done.
//   - J5 A job leaves the runs of jobs alone.
//
// The job itself decides when; what is at a partition is done by its owner. So each page is
// a child, of the type PageType, whose workflow ID is one of that partition.
package job
