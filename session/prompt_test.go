package session_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
)

const png = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"

func TestFileBlock(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		data string
		want string // type, media type and title, or what the error says
	}{
		"a.png":     {png, "image image/png"},
		"lies.txt":  {"\xff\xd8\xff\xe0\x00\x10JFIF", "image image/jpeg"},
		"a.gif":     {"GIF89a\x01\x00", "image image/gif"},
		"a.webp":    {"RIFF\x00\x00\x00\x00WEBPVP8 ", "image image/webp"},
		"a.pdf":     {"%PDF-1.7\n", "document application/pdf a.pdf"},
		"main.go":   {"package main // ü\n", "document text/plain main.go"},
		"empty":     {"", "it is empty"},
		"program":   {"\x7fELF\x02\x01\x01\x00", "neither an image"},
		"nul.txt":   {"a\x00b", "neither an image"},
		"large.png": {png + strings.Repeat("x", 5<<20), "image/png of more than 5 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(path, []byte(tt.data), 0o600))
			block, err := session.FileBlock(path)
			switch b := block.(type) {
			case *protocol.ImageBlock:
				assert.Equal(t, tt.want, "image "+b.Source.MediaType)
			case *protocol.DocumentBlock:
				assert.Equal(t, tt.want, "document "+b.Source.MediaType+" "+*b.Title)
			default:
				require.ErrorContains(t, err, tt.want)
				require.ErrorContains(t, err, name)
			}
		})
	}
	_, err := session.FileBlock(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = session.FileBlock(dir)
	require.ErrorContains(t, err, "is a directory")
}

// A prompt that the CLI or the API would choke on does not get that far, and harms no later one.
func TestBadPrompts(t *testing.T) {
	b := start(t, spec(t, "prompts"))
	var nobody *protocol.TextBlock
	for name, tt := range map[string]struct {
		prompt session.Prompt
		want   string
	}{
		"nothing":       {session.Prompt{}, "empty prompt"},
		"blank":         {session.TextPrompt(" \n"), "empty prompt"},
		"no blocks":     {session.BlockPrompt(), "empty prompt"},
		"blank block":   {session.BlockPrompt(protocol.NewText(" ")), "empty prompt"},
		"nil":           {session.BlockPrompt(nil), "block 1: it is nil"},
		"typed nil":     {session.BlockPrompt(protocol.NewText("x"), nobody), "block 2: it is nil"},
		"no part of it": {session.BlockPrompt(&protocol.ToolUseBlock{ID: "1", Name: "Bash"}), "ToolUseBlock is no part of a prompt"},
		"media type":    {session.BlockPrompt(protocol.NewImage("image/tiff", []byte("x"))), `media type "image/tiff": expected image/png`},
		"no image":      {session.BlockPrompt(protocol.NewImage("image/png", nil)), "it has no data"},
		"no base64":     {session.BlockPrompt(&protocol.ImageBlock{Source: protocol.Source{Type: "base64", MediaType: "image/png", Data: "?"}}), "no base64"},
		"no uuid":       {session.Prompt{Content: protocol.TextContent("x"), UUID: "first"}, `prompt uuid "first": expected a UUID`},
		"too long":      {session.TextPrompt(strings.Repeat("x", 65<<20)), "at most 67108864"},
	} {
		_, err := b.AskPrompt(t.Context(), tt.prompt)
		require.ErrorIs(t, err, session.ErrPrompt, name)
		require.ErrorContains(t, err, tt.want, name)
	}
	answer, err := b.Ask(t.Context(), "hello")
	require.NoError(t, err)
	assert.Equal(t, "echo: hello", answer.Text)
}

// The id of a prompt is the caller's to choose: the CLI does not run it twice.
func TestAPromptWithAnIDRunsOnce(t *testing.T) {
	b := start(t, spec(t, "once"))
	prompt := session.TextPrompt("hello")
	prompt.UUID = uuid.NewString()
	_, err := b.AskPrompt(t.Context(), prompt)
	require.NoError(t, err)
	_, err = b.AskPrompt(t.Context(), prompt)
	require.ErrorIs(t, err, session.ErrDropped)
}
