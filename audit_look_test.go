package understudy_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/understudy-run/understudy/audit"
)

// lookVariable makes the test binary an MCP server whose one tool looks into the audit log of that directory.
const lookVariable = "UNDERSTUDY_TEST_LOOK"

// lookTool is the tool's name as the CLI has it, of a server "look".
const lookTool = "mcp__look__intent"

// serveLook speaks JSON-RPC. The tool writes how many intents of its own the log has into the file it is given.
func serveLook(in io.Reader, out io.Writer, dir string) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var request struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				ProtocolVersion string            `json:"protocolVersion"`
				Arguments       map[string]string `json:"arguments"`
			} `json:"params"`
		}
		if json.Unmarshal(lines.Bytes(), &request) != nil || request.ID == nil {
			continue
		}
		var result any = map[string]any{}
		switch request.Method {
		case "initialize":
			result = map[string]any{
				"protocolVersion": request.Params.ProtocolVersion, "capabilities": map[string]any{"tools": map[string]any{}},
				"serverInfo": map[string]any{"name": "look", "version": "1"},
			}
		case "tools/list":
			result = map[string]any{"tools": []any{map[string]any{
				"name": "intent", "description": "counts its intents in the audit log",
				"inputSchema": map[string]any{"type": "object", "properties": map[string]any{"file": map[string]any{"type": "string"}}},
			}}}
		case "tools/call":
			text := fmt.Sprint(intents(dir, lookTool))
			if err := os.WriteFile(request.Params.Arguments["file"], []byte(text), 0o600); err != nil {
				text = err.Error()
			}
			result = map[string]any{"content": []any{map[string]any{"type": "text", "text": text}}}
		}
		reply, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": request.ID, "result": result})
		if err != nil {
			return
		}
		if _, err := out.Write(append(reply, '\n')); err != nil {
			return
		}
	}
}

// intents counts the intents of a tool that are in a log.
func intents(dir, tool string) (n int) {
	for r, err := range audit.Read(dir) {
		if err == nil && r.Kind == audit.ToolIntent && r.Tool == tool {
			n++
		}
	}
	return n
}
