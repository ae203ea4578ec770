package devbroker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mark is the file that says whether a directory is in use. A process that has the
// directory holds a lock on it, which the system drops when the process ends,
// however it ends, and has written its id into it, which only Close takes out. So
// an id without a lock is a directory that was not closed.
type mark struct{ file *os.File }

// take marks dir as used by this process. force takes it also if it was not closed.
func take(dir string, force bool) (_ *mark, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "in-use"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("mark the broker's folder as used: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	lockErr := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	b, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	holder := strings.TrimSpace(string(b))
	switch {
	case errors.Is(lockErr, syscall.EWOULDBLOCK):
		return nil, fmt.Errorf("%w: process %s runs a broker on %s; stop that one, or choose another folder with --data-dir", ErrInUse, holder, dir)
	case lockErr != nil:
		return nil, fmt.Errorf("lock %s: %w", f.Name(), lockErr)
	case holder != "" && !force:
		return nil, fmt.Errorf("%w: process %s had %s and was killed, or could not write everything; the embedded broker is for development and does not promise what is left. Start with --reset to begin anew, or choose another folder with --data-dir", ErrUnclean, holder, dir)
	}
	m := &mark{f}
	if err := m.write(fmt.Sprintln(os.Getpid())); err != nil {
		return nil, err
	}
	return m, nil
}

// write replaces the file's content, on disk.
func (m *mark) write(text string) error {
	err := m.file.Truncate(0)
	if err == nil {
		_, err = m.file.WriteAt([]byte(text), 0)
	}
	if err == nil {
		err = m.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", m.file.Name(), err)
	}
	return nil
}

// free says that the directory is closed.
func (m *mark) free() error { return errors.Join(m.write(""), m.file.Close()) }

// keep leaves the directory, not closed.
func (m *mark) keep() error { return m.file.Close() }
