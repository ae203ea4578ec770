// Package proc runs programs for tests and drills that kill and pause them.
//
//	R1 A process ends with whoever started it, however that ends: a guard, a shell
//	   in a process group of its own, holds the numbers of all that run and kills
//	   them when its standard input ends. Nothing but a number that this program
//	   started and has not yet waited for is ever signalled.
//	R2 What a process writes goes to a file, so that a reader who is slow or gone
//	   never holds it up.
//	R3 Each process has its own process group: Ctrl-C is for the test, which ends
//	   its processes in order.
package proc
