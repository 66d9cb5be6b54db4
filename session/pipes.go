package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/understudy-run/understudy/actor"
	"github.com/understudy-run/understudy/session/process"
	"github.com/understudy-run/understudy/session/protocol"
)

// maxNoise is how many lines of a process's stdout may be no frames. More are garbage.
const maxNoise = 100

const (
	// maxBatch is how many frames the actor gets in one message: those that were there already, never one that had to be
	// waited for.
	maxBatch = 256
	// batches is how many of them there are: one that is read into, and the others on their way. It bounds what an
	// actor that is busy has waiting.
	batches = 4
)

// handled is a batch that the actor is done with, and the stream of the query it went to, nil for none.
type handled struct {
	list   []protocol.Message
	stream *stream
}

// read turns stdout into messages, and the process's end into the last of them. It waits for the actor, and for a
// consumer no longer than a moment.
func read(ctx context.Context, self actor.Ref[message], p *process.Process, spec process.Launch, maxLine int) message {
	trouble := readFrames(ctx, self, protocol.NewReader(p.Stdout(), maxLine))
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
	return ended{p.Exit(), trouble, tooOld(ctx, p.Exit(), spec)}
}

// tooOld says whether a CLI that refused to start is one that is too old: it does not know our flags, and ends before it could
// say its version in the handshake. Nil: it is not, or that is not known.
func tooOld(ctx context.Context, exit process.Exit, spec process.Launch) error {
	if exit.Class() != process.ClassRequest || !slices.Contains([]process.LauncherKind{"", process.LaunchLocal, process.LaunchBwrap}, spec.Launcher.Kind) {
		return nil
	}
	version, err := process.VersionOf(ctx, spec)
	if err != nil {
		return nil // what it ended with says more
	}
	_, old := checkVersion(version)
	return old
}

// readFrames hands frames to the actor as they come. Its error is what is wrong with the stream, nil if that ended or if the
// actor did, whose context kills the process.
func readFrames(ctx context.Context, self actor.Ref[message], reader *protocol.Reader) error {
	free := make(chan handled, batches)
	for range batches - 1 {
		free <- handled{}
	}
	var batch []protocol.Message
	// send hands over what there is, and reports whether somebody takes it.
	send := func() bool {
		if len(batch) == 0 {
			return true
		}
		if self.SendWait(ctx, frames{batch, free}) != nil {
			return false
		}
		select {
		case done := <-free:
			batch = done.list
			done.stream.awaitRoom(ctx)
			return true
		case <-self.Done():
		case <-ctx.Done():
		}
		return false
	}
	for {
		line, err := reader.Next()
		if err != nil {
			if !send() || errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("stdout: %w", err)
		}
		m, err := protocol.Decode(line)
		if err == nil {
			batch = append(batch, m)
		}
		if err != nil || len(batch) == maxBatch || !reader.Ready() {
			if !send() {
				return nil
			}
		}
		if err != nil && self.SendWait(ctx, noise{err}) != nil {
			return nil
		}
	}
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
