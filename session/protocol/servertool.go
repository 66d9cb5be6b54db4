package protocol

import "encoding/json"

// ServerToolResultBlock is what a tool of the API itself came to, in the assistant's message: Type says which. Content
// is of that tool's own shape; see WebSearch and ErrorCode.
type ServerToolResultBlock struct {
	wire
	Type         string          `json:"type"` // WebSearchToolResult and so on
	ToolUseID    string          `json:"tool_use_id" wire:"essential"`
	Content      json.RawMessage `json:"content"`
	Caller       json.RawMessage `json:"caller,omitempty"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// The types of ServerToolResultBlock.
const (
	WebSearchToolResult               = "web_search_tool_result"
	WebFetchToolResult                = "web_fetch_tool_result"
	CodeExecutionToolResult           = "code_execution_tool_result"
	BashCodeExecutionToolResult       = "bash_code_execution_tool_result"
	TextEditorCodeExecutionToolResult = "text_editor_code_execution_tool_result"
	ToolSearchToolResult              = "tool_search_tool_result"
	AdvisorToolResult                 = "advisor_tool_result"
)

var serverToolResults = []string{
	WebSearchToolResult, WebFetchToolResult, CodeExecutionToolResult, BashCodeExecutionToolResult,
	TextEditorCodeExecutionToolResult, ToolSearchToolResult, AdvisorToolResult,
}

// WebSearchHit is one page that a web search found.
type WebSearchHit struct {
	wire
	URL              string  `json:"url"`
	Title            string  `json:"title"`
	PageAge          *string `json:"page_age,omitempty"`
	EncryptedContent string  `json:"encrypted_content,omitempty"` // for the API to read
}

// MarshalJSON writes the hit with the keys it was read with.
func (h *WebSearchHit) MarshalJSON() ([]byte, error) { return marshal(h) }

// WebSearch returns the pages that a web search found; none for another tool, or a search that failed.
func (b *ServerToolResultBlock) WebSearch() []WebSearchHit {
	var elements []json.RawMessage
	if b.Type != WebSearchToolResult || json.Unmarshal(b.Content, &elements) != nil {
		return nil
	}
	var hits []WebSearchHit
	for _, e := range elements {
		var h WebSearchHit
		if unmarshal(e, &h) == nil {
			hits = append(hits, h)
		}
	}
	return hits
}

// ErrorCode returns the API's word for why the tool failed, such as max_uses_exceeded; empty if it did not.
func (b *ServerToolResultBlock) ErrorCode() string {
	var failure struct {
		ErrorCode string `json:"error_code"`
	}
	if json.Unmarshal(b.Content, &failure) != nil { // another shape: a result
		return ""
	}
	return failure.ErrorCode
}

// MCPToolUseBlock is a tool of an MCP server that the API itself talks to. Tools of servers that the CLI talks to
// are ToolUseBlocks, with a name like mcp__server__tool.
type MCPToolUseBlock struct {
	wire
	ID           string          `json:"id" wire:"essential"`
	Name         string          `json:"name" wire:"essential"`
	ServerName   string          `json:"server_name"`
	Input        json.RawMessage `json:"input" wire:"object"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// MCPToolResultBlock is what such a tool came to.
type MCPToolResultBlock struct {
	wire
	ToolUseID    string          `json:"tool_use_id" wire:"essential"`
	Content      Content         `json:"content,omitzero"`
	IsError      bool            `json:"is_error,omitempty" wire:"failsafe"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// SearchResultBlock is a passage given to the model so that it can cite it.
type SearchResultBlock struct {
	wire
	Source       string          `json:"source"` // an address, or any other name of where it is from
	Title        string          `json:"title"`
	Content      []ContentBlock  `json:"content"` // text blocks
	Citations    json.RawMessage `json:"citations,omitempty"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// ToolReferenceBlock names a tool that a search for tools found, in its result.
type ToolReferenceBlock struct {
	wire
	ToolName     string          `json:"tool_name" wire:"essential"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// ContainerUploadBlock is a file in the container of the API's code execution.
type ContainerUploadBlock struct {
	wire
	FileID       string          `json:"file_id" wire:"essential"`
	CacheControl json.RawMessage `json:"cache_control,omitempty"`
}

// CompactionBlock is the API's summary of what came before.
type CompactionBlock struct {
	wire
	Content          *string         `json:"content"`
	EncryptedContent *string         `json:"encrypted_content,omitempty"`
	CacheControl     json.RawMessage `json:"cache_control,omitempty"`
}
