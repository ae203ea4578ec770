// Package schedule starts workflows by the clock: a schedule is itself a workflow, of the
// built-in type Type, so that it survives what workflows survive.
//
// Firings are moments of cron expressions, intervals or calendars, in a time zone.
// Where the clock is set forward, a time that does not exist fires when the gap ends, once.
// Where it is set back, a time that exists twice fires the first time only, unless its
// hour is "*" (every hour), which fires both times. Intervals do not know the clock: they
// count from the Unix epoch.
package schedule
