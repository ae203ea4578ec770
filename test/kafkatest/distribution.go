package kafkatest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrMissing is wrapped when this host cannot run Kafka: what is missing, and how
// to get it, is in the text.
var ErrMissing = errors.New("real Kafka is left out")

//go:embed pom.xml
var pom []byte

//go:embed log4j2.properties
var log4j []byte

// distribution is a Kafka that can be run.
type distribution struct {
	java string // program
	lib  string // folder of the jars
	log4 string // file with the log's settings
}

const howToGet = "on Debian: apt-get install openjdk-17-jre-headless maven"

// Fetch gets the jars if they are not there. ErrMissing: Java or Maven is missing.
func Fetch(ctx context.Context) error {
	_, err := fetch(ctx)
	return err
}

// fetch finds Java and the jars, and gets the jars if they are not there (K1).
func fetch(ctx context.Context) (distribution, error) {
	var d distribution
	java, err := exec.LookPath("java")
	if err != nil {
		return d, fmt.Errorf("%w: java (17 or later) is not installed; %s", ErrMissing, howToGet)
	}
	root, err := cacheDir()
	if err != nil {
		return d, err
	}
	sum := sha256.Sum256(append(bytes.Clone(pom), log4j...))
	dir := filepath.Join(root, hex.EncodeToString(sum[:6]))
	d = distribution{java: java, lib: filepath.Join(dir, "lib"), log4: filepath.Join(dir, "log4j2.properties")}
	if isFile(filepath.Join(dir, "complete")) {
		return d, nil
	}
	if err = os.MkdirAll(dir, 0o755); err != nil {
		return d, err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return d, err
	}
	defer unlock()
	if isFile(filepath.Join(dir, "complete")) {
		return d, nil // somebody else was faster
	}
	return d, copyJars(ctx, dir, d)
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func copyJars(ctx context.Context, dir string, d distribution) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("%w: mvn is not installed, and %s has no jars of Kafka; %s", ErrMissing, dir, howToGet)
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), pom, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(d.log4, log4j, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory="+d.lib)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("get the jars of Kafka with mvn in %s: %w\n%s\nmvn needs a repository such as repo.maven.apache.org; a folder that has the jars can be given in ODRADEK_KAFKA_DIR", dir, err, bytes.TrimSpace(out))
	}
	return os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}

// cacheDir is ODRADEK_KAFKA_DIR or .kafka beside go.mod.
func cacheDir() (string, error) {
	if dir := os.Getenv("ODRADEK_KAFKA_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	root, err := ModuleRoot()
	if err != nil {
		return "", fmt.Errorf("%w; set ODRADEK_KAFKA_DIR to the folder for Kafka's jars", err)
	}
	return filepath.Join(root, ".kafka"), nil
}

// ModuleRoot is the folder of go.mod, at or above the working directory.
func ModuleRoot() (string, error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.mod at or above %s: run this inside the module", wd)
		}
	}
}

// lock takes a file's lock, which ends with unlock or the process.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// command runs one of Kafka's classes to its end.
func (d distribution) command(ctx context.Context, class string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, d.java, append(d.jvm("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", class), args...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", class, strings.Join(args, " "), err, out.Bytes(), errOut.Bytes())
	}
	return strings.TrimSpace(out.String()), nil
}

// jvm are the arguments of java before those of the class, which args ends with.
func (d distribution) jvm(args ...string) []string {
	return append([]string{"-cp", filepath.Join(d.lib, "*"), "-Dlog4j2.configurationFile=" + d.log4}, args...)
}
