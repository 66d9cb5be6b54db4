package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed otp/*.erl
var sources embed.FS

// otp is Erlang's own supervisor, measured by the module in otp/ in a virtual machine of its own.
type otp struct {
	dir     string // the compiled modules
	version string // as the virtual machine gives it
}

// compileOTP makes the modules ready to run, in a directory to be removed.
func compileOTP(ctx context.Context) (*otp, error) {
	for _, program := range []string{"erl", "erlc"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("no %s in PATH: install Erlang, such as Debian's erlang-base", program)
		}
	}
	dir, err := os.MkdirTemp("", "understudy-bench-")
	if err != nil {
		return nil, err
	}
	o := &otp{dir: dir}
	files, err := sources.ReadDir("otp")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		source, err := sources.ReadFile("otp/" + file.Name())
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, file.Name())
		if err := os.WriteFile(path, source, 0o600); err != nil {
			return nil, err
		}
		if text, err := exec.CommandContext(ctx, "erlc", "-o", dir, path).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("erlc %s: %w: %s", file.Name(), err, text)
		}
	}
	return o, nil
}

func (o *otp) close() error { return os.RemoveAll(o.dir) }

// measure runs all measurements once.
func (o *otp) measure(ctx context.Context, s scale) (figures, error) {
	arguments := []string{"-noshell", "-pa", o.dir, "-run", "bench", "main"}
	for _, n := range []int{s.killed, s.crashes, s.children, s.samples} {
		arguments = append(arguments, strconv.Itoa(n))
	}
	text, err := exec.CommandContext(ctx, "erl", arguments...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("erl: %w: %s", err, text)
	}
	f := make(figures)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if key == "version" {
			o.version = value
			continue
		}
		if f[key], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, fmt.Errorf("erl printed %q: expected a measurement's name and its value", lines.Text())
		}
	}
	return f, lines.Err()
}
