package session

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/understudy-run/understudy/session/protocol"
)

// Prompt is what a query asks: text, or content blocks with text, images and documents.
type Prompt struct {
	Content protocol.Content
	// UUID is the prompt's idempotency key, over restarts and in the conversation's whole life: the CLI does not
	// run a prompt that it has answered under the same one (ErrDropped). Empty: a new one.
	UUID string
	// Literal takes the text as it is: a slash at its start is no command, @file is no file.
	Literal bool
}

// TextPrompt is a prompt of plain text.
func TextPrompt(text string) Prompt { return Prompt{Content: protocol.TextContent(text)} }

// BlockPrompt is a prompt of content blocks: text, images, documents and search results. See FileBlock.
func BlockPrompt(blocks ...protocol.ContentBlock) Prompt {
	return Prompt{Content: protocol.BlockContent(blocks...)}
}

// maxPrompt is how long a prompt's line may be. The API takes 32 MB per request.
const maxPrompt = 64 << 20

// frame checks the prompt and writes it as the line that the CLI reads, so that what is wrong with it, or is
// changed in its blocks later, cannot harm the session.
func (p Prompt) frame() (id string, line []byte, err error) {
	if err := checkContent(p.Content); err != nil {
		return "", nil, err
	}
	id = p.UUID
	if id == "" {
		id = uuid.NewString()
	} else if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
		return "", nil, fmt.Errorf("prompt uuid %q: expected a UUID such as %s", cut(id, 60), uuid.NewString())
	}
	line, err = protocol.Encode(&protocol.User{
		Message: protocol.UserMessage{Role: "user", Content: p.Content}, UUID: id, ClientComposed: p.Literal,
	})
	if err == nil && len(line) > maxPrompt {
		err = fmt.Errorf("prompt is %d bytes long: at most %d", len(line), maxPrompt)
	}
	return id, append(line, '\n'), err
}

func checkContent(c protocol.Content) error {
	if c.IsText() {
		if strings.TrimSpace(c.Text()) == "" {
			return errEmptyPrompt
		}
		return nil
	}
	if len(c.Blocks()) == 0 {
		return errEmptyPrompt
	}
	empty := true
	for i, block := range c.Blocks() {
		if err := checkBlock(block); err != nil {
			return fmt.Errorf("prompt block %d: %w", i+1, err)
		}
		text, isText := block.(*protocol.TextBlock)
		empty = empty && isText && strings.TrimSpace(text.Text) == ""
	}
	if empty {
		return errEmptyPrompt
	}
	return nil
}

var errEmptyPrompt = errors.New("empty prompt")

// imageTypes are the media types of images that the API reads.
var imageTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp"}

const pdfType = "application/pdf"

// checkBlock refuses what would fail in the API, and stay in the conversation so that every later turn fails too.
func checkBlock(block protocol.ContentBlock) error {
	var null bool
	var err error
	switch b := block.(type) {
	case nil:
		null = true
	case *protocol.TextBlock:
		null = b == nil
	case *protocol.ImageBlock:
		if null = b == nil; !null {
			err = checkSource(b.Source, imageTypes)
		}
	case *protocol.DocumentBlock:
		if null = b == nil; !null {
			err = checkSource(b.Source, []string{pdfType})
		}
	case *protocol.SearchResultBlock:
		null = b == nil
	case *protocol.UnknownBlock: // of a kind that the API may know
		null = b == nil
	default:
		err = fmt.Errorf("a %T is no part of a prompt: use text, images, documents and search results", block)
	}
	if null {
		return errors.New("it is nil")
	}
	return err
}

func checkSource(s protocol.Source, media []string) error {
	if s.Type != "base64" {
		return nil
	}
	if !slices.Contains(media, s.MediaType) {
		return fmt.Errorf("media type %q: expected %s", s.MediaType, strings.Join(media, ", "))
	}
	n, err := io.Copy(io.Discard, base64.NewDecoder(base64.StdEncoding, strings.NewReader(s.Data)))
	if err != nil {
		return fmt.Errorf("data is no base64: %w", err)
	}
	if n == 0 {
		return errors.New("it has no data")
	}
	return nil
}

// What the API takes at most, before base64.
const (
	maxImage    = 5 << 20
	maxDocument = 32 << 20
)

// FileBlock reads a file for a prompt: a PNG, JPEG, GIF or WebP as an image, a PDF or text as a document under the file's
// name. What the file is its content says, not its name.
func FileBlock(path string) (protocol.ContentBlock, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, err
	}
	media := sniff(data)
	tooLong := func(limit int) error {
		return fmt.Errorf("%s: %s of more than %d MiB, which the API does not take", path, media, limit>>20)
	}
	switch {
	case len(data) == 0:
		return nil, fmt.Errorf("%s: it is empty", path)
	case slices.Contains(imageTypes, media):
		if len(data) > maxImage {
			return nil, tooLong(maxImage)
		}
		return protocol.NewImage(media, data), nil
	case len(data) > maxDocument:
		return nil, tooLong(maxDocument)
	case media == pdfType:
		return protocol.NewPDF(filepath.Base(path), data), nil
	case utf8.Valid(data) && !slices.Contains(data, 0):
		return protocol.NewTextDocument(filepath.Base(path), string(data)), nil
	}
	return nil, fmt.Errorf("%s: it is neither an image (PNG, JPEG, GIF, WebP) nor a PDF nor UTF-8 text", path)
}

// sniff tells the media type of what a prompt can have by its first bytes, "text" for anything else.
func sniff(data []byte) string {
	begins := func(with string) bool { return bytes.HasPrefix(data, []byte(with)) }
	switch {
	case begins("\x89PNG\r\n\x1a\n"):
		return "image/png"
	case begins("\xff\xd8\xff"):
		return "image/jpeg"
	case begins("GIF87a"), begins("GIF89a"):
		return "image/gif"
	case begins("RIFF") && len(data) >= 12 && string(data[8:12]) == "WEBP":
		return "image/webp"
	case begins("%PDF-"):
		return pdfType
	}
	return "text"
}
