package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
)

// ContentBlock is one block of a message's content. The set is closed; a block of
// a kind this package does not know is an *UnknownBlock.
//
//sumtype:decl
type ContentBlock interface {
	isBlock()
	// Raw returns the JSON the block was decoded from, nil for one built in Go.
	Raw() json.RawMessage
}

// TextBlock is text of the model or of the user.
type TextBlock struct {
	part
	Text         string          `json:"text"`
	Citations    json.RawMessage `json:"citations,omitempty"` // as the API has them
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// ThinkingBlock is the model's reasoning, with the signature that lets it be sent back.
type ThinkingBlock struct {
	wire
	Thinking  string `json:"thinking"`
	Signature string `json:"signature"`
}

// RedactedThinkingBlock is reasoning that only the API can read.
type RedactedThinkingBlock struct {
	wire
	Data string `json:"data"`
}

// ToolUseBlock is the model's wish to run a tool. Seeing it does not mean that
// the tool runs: permission is decided later.
type ToolUseBlock struct {
	wire
	ID           string          `json:"id" wire:"essential"`
	Name         string          `json:"name" wire:"essential"`
	Input        json.RawMessage `json:"input" wire:"object"` // any JSON object; its schema is the tool's
	Caller       json.RawMessage `json:"caller,omitempty"`    // who called it: the model, or a server tool of its
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// ToolResultBlock is the answer of a tool, in a user message.
type ToolResultBlock struct {
	wire
	ToolUseID    string          `json:"tool_use_id" wire:"essential"`
	Content      Content         `json:"content,omitzero"`
	IsError      bool            `json:"is_error,omitempty" wire:"failsafe"` // true for a denied tool too
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// ImageBlock is a picture. The CLI writes one twice per frame, as base64, so such lines are long.
type ImageBlock struct {
	wire
	Source       Source          `json:"source"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// DocumentBlock is a document given to the model.
type DocumentBlock struct {
	wire
	Source       Source          `json:"source"`
	Title        *string         `json:"title,omitempty"`
	Context      *string         `json:"context,omitempty"`
	Citations    json.RawMessage `json:"citations,omitempty"` // whether the model is to cite it
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// Source says where the bytes of an image or a document are.
type Source struct {
	wire
	Type      string  `json:"type"` // base64, url, text, file, content
	MediaType string  `json:"media_type,omitempty"`
	Data      string  `json:"data,omitempty"` // base64 for type base64
	URL       string  `json:"url,omitempty"`
	FileID    string  `json:"file_id,omitempty"`
	Content   Content `json:"content,omitzero"` // for type content
}

// ServerToolUseBlock is a tool that the API runs itself, such as its web search.
// No permission question is asked for it.
type ServerToolUseBlock struct {
	wire
	ID           string          `json:"id" wire:"essential"`
	Name         string          `json:"name" wire:"essential"`
	Input        json.RawMessage `json:"input" wire:"object"`
	Caller       json.RawMessage `json:"caller,omitempty"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// UnknownBlock is a block of another kind, one that lacks what its kind needs, or
// an element of the content that is no object. Raw has it.
type UnknownBlock struct {
	wire
	Type   string `json:"type,omitempty"`
	Reason string `json:"-"` // why a block of a known Type is here, else empty
}

// Content is what a user message or a tool result holds: a string, or blocks.
// The zero value is no content at all.
type Content struct {
	raw    json.RawMessage
	form   contentForm
	text   string
	blocks []ContentBlock
}

type contentForm uint8

const (
	contentNone contentForm = iota
	contentText
	contentBlocks
)

// TextContent makes content that is a plain string.
func TextContent(text string) Content { return Content{form: contentText, text: text} }

// BlockContent makes content that is a list of blocks.
func BlockContent(blocks ...ContentBlock) Content {
	return Content{form: contentBlocks, blocks: blocks}
}

// Text returns the string, or the text of all text blocks, one after the other.
func (c Content) Text() string {
	if c.form == contentText {
		return c.text
	}
	return TextOf(c.blocks)
}

// Blocks returns the blocks, and a single text block for a string. The list of
// a block content is not a copy: a block may be edited in place.
func (c Content) Blocks() []ContentBlock {
	if c.form == contentText {
		return []ContentBlock{&TextBlock{Text: c.text}}
	}
	return c.blocks
}

// IsText says whether the content is a plain string.
func (c Content) IsText() bool { return c.form == contentText }

// Raw returns the JSON the content was decoded from, nil if it was built in Go.
func (c Content) Raw() json.RawMessage { return c.raw }

// MarshalJSON writes the string or the blocks.
func (c Content) MarshalJSON() ([]byte, error) {
	var e encoder
	b := e.content(nil, c)
	return b, e.err
}

// UnmarshalJSON reads a string or an array of blocks; null is no content.
func (c *Content) UnmarshalJSON(data []byte) error {
	d := decoder{scanner: scanner{b: bytes.Clone(data)}}
	d.space()
	*c = Content{}
	if d.at() == 'n' {
		d.literal("null")
	} else if !contentCodec().decode(&d, reflect.ValueOf(c).Elem()) && d.msg == "" {
		d.fail("expected a string or an array of content blocks")
	}
	if !d.end() {
		*c = Content{}
		return d.error()
	}
	return nil
}

// TextOf joins the text of all text blocks in a list.
func TextOf(blocks []ContentBlock) string {
	var one string
	var sb *strings.Builder
	for _, b := range blocks {
		t, ok := b.(*TextBlock)
		switch {
		case !ok:
		case sb != nil:
			sb.WriteString(t.Text)
		case one == "":
			one = t.Text
		default:
			sb = &strings.Builder{}
			sb.WriteString(one)
			sb.WriteString(t.Text)
		}
	}
	if sb != nil {
		return sb.String()
	}
	return one
}

func contentCodec() *codec {
	return &codec{
		want: "a string or an array",
		decode: func(d *decoder, v reflect.Value) bool {
			c := v.Addr().Interface().(*Content)
			start := d.i
			switch d.at() {
			case '"':
				p, ok := d.str()
				if !ok {
					return false
				}
				*c = Content{form: contentText, text: d.text(p)}
			case '[':
				blocks, ok := d.blockList()
				if !ok {
					return false
				}
				*c = Content{form: contentBlocks, blocks: blocks}
			default:
				return false
			}
			c.raw = d.b[start:d.i:d.i]
			return true
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte {
			return e.content(dst, *v.Addr().Interface().(*Content))
		},
	}
}

func (e *encoder) content(dst []byte, c Content) []byte {
	switch c.form {
	case contentText:
		if c.raw != nil {
			return appendOneLine(dst, c.raw)
		}
		return appendString(dst, c.text)
	case contentBlocks:
		return e.blockList(dst, c.blocks)
	default:
		return append(dst, "null"...)
	}
}

func blocksCodec() *codec {
	return &codec{
		want: "an array",
		decode: func(d *decoder, v reflect.Value) bool {
			if d.at() != '[' {
				return false
			}
			blocks, ok := d.blockList()
			*v.Addr().Interface().(*[]ContentBlock) = blocks
			return ok
		},
		encode: func(e *encoder, dst []byte, v reflect.Value) []byte {
			return e.blockList(dst, *v.Addr().Interface().(*[]ContentBlock))
		},
	}
}

func (e *encoder) blockList(dst []byte, blocks []ContentBlock) []byte {
	dst = append(dst, '[')
	for i, b := range blocks {
		if i > 0 {
			dst = append(dst, ',')
		}
		v := reflect.ValueOf(b)
		if b == nil || v.IsNil() {
			e.fail(errors.New("a content block is nil"))
			continue
		}
		v = v.Elem()
		dst = e.object(dst, planOf(v.Type()), v)
	}
	return append(dst, ']')
}

// maxBlockDepth bounds how deep tool results are read as blocks in tool results.
// The API has two levels; beyond this one a block is kept raw, so that a hostile
// line with its types at the end cannot make reading it quadratic.
const maxBlockDepth = 8

func (d *decoder) blockList() ([]ContentBlock, bool) {
	if !d.enter() {
		return nil, false
	}
	d.blocks++
	d.push("[]")
	var list []ContentBlock
	for first := true; d.more(first, ']'); first = false {
		d.space()
		b := d.variant(variants{"type", blockPlans, unknownBlock}, d.blocks <= maxBlockDepth)
		if d.msg != "" {
			return nil, false
		}
		list = append(list, b.(ContentBlock))
	}
	d.pop()
	d.blocks--
	if list == nil {
		list = []ContentBlock{}
	}
	return list, d.msg == ""
}

// variants are the kinds of a nested union, told apart by the value of a key.
type variants struct {
	key     string
	plans   map[string]*plan
	unknown *plan
}

// variant reads one value of a union: a pointer to the struct of its kind, or to
// the unknown kind if there is none, if it is no object or lacks an essential field.
func (d *decoder) variant(u variants, deep bool) any {
	start := d.mark()
	outer := d.reason
	defer func() { d.reason = outer }()
	d.reason = ""
	switch {
	case d.at() != '{':
		if !d.skip() {
			return nil
		}
		raw := d.b[start.i:d.i:d.i]
		v := reflect.New(u.unknown.typ).Interface()
		v.(holder).hold(raw)
		v.(reasoner).because("want an object, found " + describe(raw))
		return v
	case !deep:
		d.reason = "nested too deeply"
		return d.unknownVariant(u)
	}
	p, guess := (*plan)(nil), false
	if tag, ok := d.firstTag(u.key); ok {
		p = u.plans[string(tag)]
		guess = p != nil && len(p.consts) > 0 // else the type is a field, and only the last one counts
	}
	d.back(start)
	if guess {
		v := reflect.New(p.typ)
		ok := d.object(p, v.Elem(), true)
		if ok && d.reason == "" {
			return v.Interface()
		}
		if d.msg != "" {
			return nil
		}
		d.back(start)
		if !d.redo {
			return d.unknownVariant(u)
		}
		d.redo = false
	}
	tag, _ := d.scanTags(u.key, "")
	if d.msg != "" {
		return nil
	}
	if tag == nil || u.plans[*tag] == nil {
		d.reason = ""
		if tag == nil {
			d.reason = u.key + " is missing or no string"
		}
		return d.unknownVariant(u)
	}
	d.reason = ""
	v := reflect.New(u.plans[*tag].typ)
	if !d.object(u.plans[*tag], v.Elem(), false) {
		return nil
	}
	if d.reason != "" {
		d.back(start)
		return d.unknownVariant(u)
	}
	return v.Interface()
}

// reasoner is an unknown kind that can say why it is one.
type reasoner interface{ because(reason string) }

func (b *UnknownBlock) because(reason string) { b.Reason = reason }

func (d *decoder) unknownVariant(u variants) any {
	reason := d.reason
	v := reflect.New(u.unknown.typ)
	if !d.object(u.unknown, v.Elem(), false) {
		return nil
	}
	v.Interface().(reasoner).because(reason)
	return v.Interface()
}
