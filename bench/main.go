// Bench measures understudy's supervisor, suture's and OTP's in one run on one machine, and prints a table
// in Markdown. Each of several rounds measures all three, so that whatever else the machine does meets them
// alike.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"time"
)

const (
	rounds = 5
	budget = 150 * time.Second // no round is begun that might not end within it
	limit  = 175 * time.Second // nothing goes on for longer
)

func main() {
	ctx, done := signal.NotifyContext(context.Background(), os.Interrupt)
	defer done()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, os.Stdout, full, rounds) }() // ends with the process at the latest
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-time.After(limit):
		err = fmt.Errorf("not done after %v: the machine is too busy, or a supervisor hangs", limit)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, s scale, rounds int) (err error) {
	ctx, done := context.WithTimeout(ctx, limit)
	defer done()
	erlang, missing := compileOTP(ctx)
	if missing == nil {
		defer func() { err = errors.Join(err, erlang.close()) }()
	} else {
		fmt.Fprintf(w, "OTP skipped: %v\n\n", missing)
	}
	contenders := []contender{understudy, sutured}
	columns := []column{{name: understudy.name}, {name: sutured.name}, {name: "OTP"}}
	if missing != nil {
		columns = columns[:len(contenders)]
	}
	begun := time.Now()
	made := 0
	for ; made < rounds && time.Since(begun)/time.Duration(max(made, 1))*time.Duration(made+1) < budget; made++ {
		for i, c := range contenders {
			f, err := c.measure(s)
			if err != nil {
				return err
			}
			columns[i].runs = append(columns[i].runs, f)
		}
		if missing == nil {
			f, err := erlang.measure(ctx, s)
			if err != nil {
				return err
			}
			last := &columns[len(contenders)]
			last.runs = append(last.runs, f)
		}
	}
	fmt.Fprintf(w, "%d rounds in %v; %s/%s, GOMAXPROCS %d, %s", made, time.Since(begun).Round(time.Second),
		runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version())
	if missing == nil {
		fmt.Fprintf(w, "; OTP %s", erlang.version)
	}
	fmt.Fprint(w, "\n\n")
	return print(w, columns)
}
