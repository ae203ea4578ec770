package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/odradek/odradek/internal/dev"
)

// live is the demo in a terminal.
type live struct {
	opts  options
	sys   *system
	books *books
	out   *bufio.Writer
	fd    int // of the terminal
	style style
	began time.Time
	sight sight
	notes []string
	gone  map[string]bool // unsubscribed
}

// Escape sequences. The alternate screen leaves what was in the terminal before.
const (
	screenEnter = "\x1b[?1049h\x1b[?25l"
	screenLeave = "\x1b[?25h\x1b[?1049l"
	screenHome  = "\x1b[H"
	lineRest    = "\x1b[K"
	screenRest  = "\x1b[J"
)

// framePause is the time between two frames.
const framePause = 100 * time.Millisecond

// runLive shows the demo until q is pressed.
func runLive(ctx context.Context, opts options, in, out *os.File) (err error) {
	fmt.Fprintln(out, "starting the billing APIs and the engine ...")
	sys, err := start(opts)
	if err != nil {
		return err
	}
	l := &live{
		opts: opts, sys: sys, books: newBooks(opts.ledgerDir()), out: bufio.NewWriter(out), fd: int(out.Fd()),
		style: style{on: os.Getenv("NO_COLOR") == ""}, began: time.Now(), gone: map[string]bool{},
	}
	was, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return errors.Join(fmt.Errorf("read keys: %w", err), sys.stop())
	}
	l.print(screenEnter)
	err = l.run(ctx, in)
	l.print(screenLeave)
	if restoreErr := term.Restore(int(in.Fd()), was); restoreErr != nil {
		err = errors.Join(err, restoreErr)
	}
	fmt.Fprintln(out, "stopping the engine, the broker and the APIs ...")
	err = errors.Join(err, sys.stop(), l.books.update())
	l.summary(out)
	return err
}

func (l *live) print(s string) {
	_, _ = l.out.WriteString(s)
	_ = l.out.Flush() // a terminal that is gone: the keys end too
}

// run draws and obeys keys until q.
func (l *live) run(ctx context.Context, in io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	sights := make(chan sight)
	watching := false
	defer func() {
		cancel()
		if watching {
			for range sights { // until watch has ended
			}
		}
	}()
	keys := make(chan byte)
	go readKeys(in, keys) // ends with the process: a terminal's read cannot be given up
	frame := time.NewTicker(framePause)
	defer frame.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case key, ok := <-keys:
			if !ok || l.key(ctx, key) {
				return nil
			}
		case _, ok := <-l.sys.apis.lines:
			if !ok {
				return l.sys.died(l.sys.apis)
			}
		case line, ok := <-l.sys.engine.lines:
			if !ok {
				return l.sys.died(l.sys.engine)
			}
			e, err := l.sys.told(line)
			if err != nil {
				return err
			}
			l.event(e)
			if e.Kind == dev.Ready && !watching {
				watching = true
				go watch(ctx, l.sys, 0, sights)
			}
		case s := <-sights:
			if s.err != nil {
				return s.err
			}
			l.sight = s
		case <-frame.C:
			if err := l.books.update(); err != nil {
				return err
			}
			l.draw()
		}
	}
}

func readKeys(in io.Reader, keys chan<- byte) {
	defer close(keys)
	b := make([]byte, 1)
	for {
		if _, err := in.Read(b); err != nil {
			return
		}
		keys <- b[0]
	}
}

// ctrlC is what the key gives in a raw terminal.
const ctrlC = 3

// key obeys a key; true: quit.
func (l *live) key(ctx context.Context, key byte) bool {
	switch key {
	case 'q', 'Q', ctrlC:
		return true
	case 'k', 'K':
		if err := l.sys.kill(); err != nil {
			l.note("%v", err)
		}
	case 'u', 'U':
		l.unsubscribe(ctx)
	}
	return false
}

// unsubscribe ends the process of the first customer who is still there.
func (l *live) unsubscribe(ctx context.Context) {
	if !l.sys.ready {
		l.note("the engine is not ready: the signal would wait; press u again in a moment")
		return
	}
	for _, p := range l.sight.customers {
		if !p.known || p.closed || l.gone[p.customer] {
			continue
		}
		l.gone[p.customer] = true
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		if err := l.sys.unsubscribe(ctx, p.customer); err != nil {
			l.note("unsubscribe %s: %v", p.customer, err)
			return
		}
		l.note("%s unsubscribed: the process ends when the month that is being billed is done", p.customer)
		return
	}
	l.note("nobody is left to unsubscribe")
}

func (l *live) event(e dev.Event) {
	switch e.Kind {
	case dev.Started:
		l.note("the engine starts as process %d", e.PID)
	case dev.Ready:
		l.note("process %d is ready: the processes go on where they were", e.PID)
	case dev.Ended:
		l.note("process %d has ended: %s", e.PID, e.Reason)
	case dev.Broker, dev.Stopping, dev.Stopped:
	}
}

// notesMax is how many notes fit below the tables.
const notesMax = 4

func (l *live) note(format string, args ...any) {
	l.notes = append(l.notes, fmt.Sprintf("%7.1f s  %s", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...)))
	l.notes = l.notes[max(0, len(l.notes)-notesMax):]
}

// draw replaces the frame, without clearing first: that would flicker.
func (l *live) draw() {
	width, height, err := term.GetSize(l.fd)
	if err != nil || width < 1 {
		width, height = 80, 24
	}
	lines := render(l.view(), l.style, width)
	if len(lines) > height {
		lines = lines[:height]
	}
	l.print(screenHome + strings.Join(lines, lineRest+"\r\n") + lineRest + screenRest)
}

func (l *live) view() view {
	return view{
		now: time.Now(), since: l.began, month: l.opts.month, customers: l.sight.customers, books: l.books,
		http: l.sys.http, pid: l.sys.pid, ready: l.sys.ready, starts: l.sys.starts, kills: l.sys.kills, notes: l.notes,
	}
}

// summary is what stays in the terminal.
func (l *live) summary(out io.Writer) {
	t := l.books.total()
	fmt.Fprintf(out, "%d calls were made for %d customers, %d have had their effect, %d had it twice; %d times the engine was killed with -9.\n",
		t.Calls, l.opts.customers, t.Effects, t.Doubled, l.sys.kills)
	fmt.Fprintf(out, "The ledgers are in %s, the engine's log is %s.\n", l.opts.ledgerDir(), dev.LogPath(l.opts.engineDir()))
}
