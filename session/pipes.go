package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// maxNoise is how many lines of a process's stdout may be no frames. More are garbage.
const maxNoise = 100

// read turns stdout into messages, and the process's end into the last of them. It never waits for a
// consumer, only for the actor.
func read(ctx context.Context, self actor.Ref[message], p *process.Process, maxLine int) message {
	reader := protocol.NewReader(p.Stdout(), maxLine)
	var trouble error
	for {
		line, err := reader.Next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				trouble = fmt.Errorf("stdout: %w", err)
			}
			break
		}
		m, err := protocol.Decode(line)
		next := message(frame{m})
		if err != nil {
			next = noise{err}
		}
		if self.SendWait(ctx, next) != nil {
			break // the actor has ended, and its context kills the process
		}
	}
	// A process that cannot be read is no use. One that closed its stdout may be about to exit.
	if trouble == nil {
		select {
		case <-p.Done():
		case <-time.After(5 * time.Second):
			trouble = errors.New("it closed its stdout and went on running")
		}
	}
	if trouble != nil {
		p.Kill()
	}
	<-p.Done()
	_ = p.Stdout().Close() // read to its end, or given up
	return ended{p.Exit(), trouble}
}

// write feeds stdin. A process that does not read holds up this goroutine alone.
func write(ctx context.Context, outbox <-chan []byte, p *process.Process) message {
	for {
		select {
		case line := <-outbox:
			if _, err := p.Stdin().Write(line); err != nil {
				<-p.Done() // the reader reports how it ended
				return writerEnded{}
			}
		case <-p.Done():
			return writerEnded{}
		case <-ctx.Done():
			return writerEnded{}
		}
	}
}

// send writes a frame to the CLI.
func (l *loop) send(c *actor.Context[message], m protocol.Message) {
	line, err := protocol.Encode(m)
	if err != nil {
		l.abort(c, fmt.Errorf("encode %s: %w", m.Kind(), err))
		return
	}
	l.write(c, append(line, '\n'))
}

// write gives a line to the CLI.
func (l *loop) write(c *actor.Context[message], line []byte) {
	select {
	case l.outbox <- line:
	default:
		l.abort(c, errors.New("it does not read its stdin"))
	}
}

func (l *loop) onNoise(c *actor.Context[message], err error) {
	l.noise++
	l.desk.update(func(_ *record, info *Info) { info.NoiseLines++ })
	isFrame := false
	if decode, ok := errors.AsType[*protocol.DecodeError](err); ok {
		isFrame = strings.HasPrefix(strings.TrimSpace(decode.Excerpt), "{")
	}
	l.log.Warn().Err(err).Msg("line on stdout is no frame")
	if !l.ready || isFrame || l.noise > maxNoise {
		l.abort(c, fmt.Errorf("garbage on stdout: %w", err))
	}
}
