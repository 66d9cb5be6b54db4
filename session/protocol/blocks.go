package protocol

import "reflect"

// The set of content blocks. A new one needs a line in each list, and its place in init at the end.

func (*TextBlock) isBlock()             {}
func (*ThinkingBlock) isBlock()         {}
func (*RedactedThinkingBlock) isBlock() {}
func (*ToolUseBlock) isBlock()          {}
func (*ToolResultBlock) isBlock()       {}
func (*ImageBlock) isBlock()            {}
func (*DocumentBlock) isBlock()         {}
func (*SearchResultBlock) isBlock()     {}
func (*ToolReferenceBlock) isBlock()    {}
func (*ServerToolUseBlock) isBlock()    {}
func (*MCPToolUseBlock) isBlock()       {}
func (*MCPToolResultBlock) isBlock()    {}
func (*ContainerUploadBlock) isBlock()  {}
func (*CompactionBlock) isBlock()       {}
func (*ServerToolResultBlock) isBlock() {}
func (*UnknownBlock) isBlock()          {}

func (*TextBlock) constants() []constant             { return kindOfBlock("text") }
func (*ThinkingBlock) constants() []constant         { return kindOfBlock("thinking") }
func (*RedactedThinkingBlock) constants() []constant { return kindOfBlock("redacted_thinking") }
func (*ToolUseBlock) constants() []constant          { return kindOfBlock("tool_use") }
func (*ToolResultBlock) constants() []constant       { return kindOfBlock("tool_result") }
func (*ImageBlock) constants() []constant            { return kindOfBlock("image") }
func (*DocumentBlock) constants() []constant         { return kindOfBlock("document") }
func (*SearchResultBlock) constants() []constant     { return kindOfBlock("search_result") }
func (*ToolReferenceBlock) constants() []constant    { return kindOfBlock("tool_reference") }
func (*ServerToolUseBlock) constants() []constant    { return kindOfBlock("server_tool_use") }
func (*MCPToolUseBlock) constants() []constant       { return kindOfBlock("mcp_tool_use") }
func (*MCPToolResultBlock) constants() []constant    { return kindOfBlock("mcp_tool_result") }
func (*ContainerUploadBlock) constants() []constant  { return kindOfBlock("container_upload") }
func (*CompactionBlock) constants() []constant       { return kindOfBlock("compaction") }

func kindOfBlock(t string) []constant { return []constant{{"type", t}} }

func (b *TextBlock) MarshalJSON() ([]byte, error)             { return marshal(b) }
func (b *ThinkingBlock) MarshalJSON() ([]byte, error)         { return marshal(b) }
func (b *RedactedThinkingBlock) MarshalJSON() ([]byte, error) { return marshal(b) }
func (b *ToolUseBlock) MarshalJSON() ([]byte, error)          { return marshal(b) }
func (b *ToolResultBlock) MarshalJSON() ([]byte, error)       { return marshal(b) }
func (b *ImageBlock) MarshalJSON() ([]byte, error)            { return marshal(b) }
func (b *DocumentBlock) MarshalJSON() ([]byte, error)         { return marshal(b) }
func (b *SearchResultBlock) MarshalJSON() ([]byte, error)     { return marshal(b) }
func (b *ToolReferenceBlock) MarshalJSON() ([]byte, error)    { return marshal(b) }
func (b *ServerToolUseBlock) MarshalJSON() ([]byte, error)    { return marshal(b) }
func (b *MCPToolUseBlock) MarshalJSON() ([]byte, error)       { return marshal(b) }
func (b *MCPToolResultBlock) MarshalJSON() ([]byte, error)    { return marshal(b) }
func (b *ContainerUploadBlock) MarshalJSON() ([]byte, error)  { return marshal(b) }
func (b *CompactionBlock) MarshalJSON() ([]byte, error)       { return marshal(b) }
func (b *ServerToolResultBlock) MarshalJSON() ([]byte, error) { return marshal(b) }
func (b *UnknownBlock) MarshalJSON() ([]byte, error)          { return marshal(b) }

var (
	blockPlans   map[string]*plan
	unknownBlock *plan
)

func init() {
	unknownBlock = planOf(reflect.TypeFor[UnknownBlock]())
	blockPlans = map[string]*plan{}
	for _, b := range []ContentBlock{
		&TextBlock{},
		&ThinkingBlock{},
		&RedactedThinkingBlock{},
		&ToolUseBlock{},
		&ToolResultBlock{},
		&ImageBlock{},
		&DocumentBlock{},
		&SearchResultBlock{},
		&ToolReferenceBlock{},
		&ServerToolUseBlock{},
		&MCPToolUseBlock{},
		&MCPToolResultBlock{},
		&ContainerUploadBlock{},
		&CompactionBlock{},
	} {
		p := planOf(reflect.TypeOf(b).Elem())
		blockPlans[p.consts[0].value] = p
	}
	for _, t := range serverToolResults {
		blockPlans[t] = planOf(reflect.TypeFor[ServerToolResultBlock]())
	}
}
