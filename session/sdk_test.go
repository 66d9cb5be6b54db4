package session_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/understudy-run/understudy/session"
	"github.com/understudy-run/understudy/session/protocol"
	"github.com/understudy-run/understudy/session/tool"
	"github.com/understudy-run/understudy/session/transcript"
)

var update = flag.Bool("update", false, "rewrite testdata/sdk.txt from the official SDK's declarations")

// sdkNames is the list of the names that the official SDK's declarations have: a kind, a name, and the names of its fields. It is
// written by TestSDKNamesAreAll with -update.
const sdkNames = "testdata/sdk.txt"

// A named is a line of the list.
type named struct {
	kind, name string
	fields     []string
}

// namesOf takes from declarations what is on the wire, and what an embedder can give and ask.
func namesOf(text string) (all []named) {
	d := readDeclarations(text)
	fields := map[[2]string][]string{}
	add := func(kind, name string, members []string) {
		key := [2]string{kind, name}
		fields[key] = append(fields[key], members...)
	}
	// each adds the alternatives of a type, by what the tags among their members say.
	each := func(kind, expression string, tags ...string) {
		for _, one := range d.shapes(expression) {
			names := []string{""}
			for _, tag := range tags {
				var longer []string
				for _, name := range names {
					for _, value := range d.literals(one[tag]) {
						longer = append(longer, strings.TrimPrefix(name+"/"+value, "/"))
					}
				}
				if longer != nil {
					names = longer
				}
			}
			var members []string
			for member := range one {
				if !slices.Contains(tags, member) {
					members = append(members, member)
				}
			}
			for _, name := range names {
				add(kind, name, members)
			}
		}
	}
	each("message", "StdoutMessage", "type", "subtype")
	each("request", "SDKControlRequestInner", "subtype")
	for _, request := range split(d["SDKControlRequestInner"], '|') {
		response := strings.TrimSuffix(request, "Request") + "Response"
		if expression, ok := d[response]; ok {
			add("answer", d.literals(d.shapes(request)[0]["subtype"])[0], d.members(expression))
		}
	}
	for _, event := range d.literals("HOOK_EVENTS") {
		add("hook", event, nil)
	}
	each("hook", "HookInput", "hook_event_name")
	add("hook answer", "*", d.members("SyncHookJSONOutput"))
	for _, one := range d.shapes("SyncHookJSONOutput") {
		each("hook answer", one["hookSpecificOutput"], "hookEventName")
	}
	each("permission", "PermissionResult", "behavior")
	each("permission update", "PermissionUpdate", "type")
	add("agent", "*", d.members("AgentDefinition"))
	each("mcp server", "McpServerConfigForProcessTransport", "type")
	for _, option := range d.members("Options") {
		add("option", option, nil)
	}
	for _, method := range d.members(d["Query"]) {
		add("method", method, nil)
	}
	for function := range strings.FieldsSeq(d["function"]) {
		add("function", function, nil)
	}
	for key, members := range fields {
		slices.Sort(members)
		all = append(all, named{key[0], key[1], slices.Compact(members)})
	}
	slices.SortFunc(all, func(a, b named) int { return strings.Compare(a.String(), b.String()) })
	return all
}

func (n named) String() string {
	return strings.TrimRight(fmt.Sprintf("%s %s: %s", n.kind, n.name, strings.Join(n.fields, " ")), ": ")
}

func readNames(t *testing.T) (all []named) {
	t.Helper()
	data, err := os.ReadFile(sdkNames)
	require.NoError(t, err)
	for line := range strings.Lines(string(data)) {
		head, fields, _ := strings.Cut(strings.TrimSpace(line), ": ")
		at := strings.LastIndexByte(head, ' ')
		all = append(all, named{head[:at], head[at+1:], strings.Fields(fields)})
	}
	return all
}

// TestSDKNamesAreAll keeps the list what the declarations say.
func TestSDKNamesAreAll(t *testing.T) {
	var got strings.Builder
	for _, n := range namesOf(sdkDeclarations(t)) {
		fmt.Fprintln(&got, n)
	}
	if *update {
		require.NoError(t, os.WriteFile(sdkNames, []byte(got.String()), 0o644))
	}
	want, err := os.ReadFile(sdkNames)
	require.NoError(t, err)
	assert.Equal(t, string(want), got.String(), "run with -update")
}

// keysOf are the names that a struct's fields have on the wire, of those that it embeds too.
func keysOf(typ reflect.Type) []string {
	keys := []string{}
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	for f := range typ.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && key == "", f.Tag.Get("wire") == "inline":
			keys = append(keys, keysOf(f.Type)...)
		case key != "" && key != "-":
			keys = append(keys, key)
		}
	}
	return keys
}

// TestEverySDKNameHasACounterpart holds this program against the list: what is in it can be read, sent, set or called here, or is left
// out for a reason.
func TestEverySDKNameHasACounterpart(t *testing.T) {
	missing := map[string]bool{}
	for _, n := range readNames(t) {
		name := n.kind + " " + n.name
		known, keys := counterpart(t, n)
		if !known {
			missing[name] = true
			continue
		}
		for _, field := range n.fields {
			if !slices.Contains(keys, field) {
				missing[name+"."+field] = true
			}
		}
	}
	for name := range missing {
		reasoned := slices.ContainsFunc(leftOut, func(l leaving) bool { return slices.Contains(l.names, name) })
		assert.True(t, reasoned, "%s has no counterpart", name)
	}
	for _, l := range leftOut {
		for _, name := range l.names {
			assert.True(t, missing[name], "%s has a counterpart, or is not in the list", name)
		}
	}
}

// counterpart says whether there is something for a name, and which names its fields have.
func counterpart(t *testing.T, n named) (known bool, keys []string) {
	switch n.kind {
	case "message":
		return messageOf(n.name)
	case "request":
		return requestOf(n.name)
	case "answer":
		return keysIf(answers[n.name])
	case "hook", "hook answer":
		return hookOf(n)
	case "permission":
		return keysIf(map[string]any{"allow": protocol.Allow{}, "deny": protocol.Deny{}}[n.name])
	case "permission update":
		return true, keysOf(reflect.TypeFor[protocol.PermissionUpdate]())
	case "agent":
		return keysIf(protocol.AgentDefinition{})
	case "mcp server":
		if n.name == "sdk" {
			return true, append(keysOf(reflect.TypeFor[protocol.SDKMCPServerConfig]()), "name")
		}
		return keysIf(protocol.MCPServerConfig{})
	case "option":
		key, ok := optionsOfSDK[n.name]
		if !ok {
			key = snake(n.name)
		}
		for f := range reflect.TypeFor[session.Options]().Fields() {
			if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); key == f.Name || key == tag {
				return true, nil
			}
		}
		return false, nil
	case "method":
		name, ok := methodsOfSDK[n.name]
		if !ok {
			name = strings.ToUpper(n.name[:1]) + n.name[1:]
		}
		_, known = reflect.TypeFor[*session.Session]().MethodByName(name)
		return known, nil
	case "function":
		f := functionsOfSDK[n.name]
		return f != nil && reflect.ValueOf(f).Kind() == reflect.Func, nil
	}
	require.FailNow(t, "what is this?", n.String())
	return false, nil
}

func keysIf(v any) (bool, []string) {
	if v == nil {
		return false, nil
	}
	return true, keysOf(reflect.TypeOf(v))
}

// messageOf reads a message of a kind.
func messageOf(kind string) (known bool, keys []string) {
	typ, subtype, _ := strings.Cut(kind, "/")
	frame, err := json.Marshal(map[string]any{
		"type": typ, "subtype": subtype, "request_id": "1", "state": "idle", "message": map[string]any{"content": []any{}},
		"request": map[string]any{"subtype": "interrupt"}, "response": map[string]any{"subtype": "success", "request_id": "1"},
	})
	if err != nil {
		return false, nil
	}
	m, err := protocol.Decode(frame)
	if _, unknown := m.(*protocol.Unknown); err != nil || unknown {
		return false, nil
	}
	return keysIf(m)
}

// fromCLI is what the CLI asks.
var fromCLI = []protocol.ControlBody{&protocol.CanUseTool{}, &protocol.HookCallback{}, &protocol.MCPMessage{}, &protocol.Elicitation{}, &protocol.UserDialog{}}

func requestOf(subtype string) (known bool, keys []string) {
	for _, body := range append(protocol.Requests(), fromCLI...) {
		if body.RequestSubtype() == subtype {
			return keysIf(body)
		}
	}
	return false, nil
}

// hookOf looks for an event's input or output where an embedder does: in the hooks that there are.
func hookOf(n named) (known bool, keys []string) {
	if n.kind == "hook answer" && n.name == "*" {
		return true, append(keysOf(reflect.TypeFor[protocol.HookAnswer]()), "decision", "reason", "hookSpecificOutput") // see MarshalHookOutput
	}
	hooks, ok := reflect.TypeFor[session.Hooks]().FieldByName(n.name)
	if !ok || !slices.Contains(protocol.HookEvents(), n.name) {
		return false, nil
	}
	call, ok := hooks.Type.Elem().FieldByName("Call")
	if !ok {
		return false, nil
	}
	if n.kind == "hook" {
		return true, keysOf(call.Type.In(1))
	}
	return true, keysOf(call.Type.Out(0))
}

var upper = regexp.MustCompile(`[A-Z]`)

func snake(name string) string {
	return strings.ToLower(upper.ReplaceAllString(name, "_$0"))
}

// answers are what requests are answered with.
var answers = map[string]any{
	"get_context_usage": protocol.ContextUsageResponse{}, "get_hooks_listing": protocol.HooksListingResponse{}, "get_task_output": protocol.TaskOutputResponse{},
	"get_usage": protocol.UsageResponse{}, "initialize": protocol.InitializeResponse{}, "interrupt": protocol.InterruptResponse{},
	"list_permission_rules": protocol.PermissionRulesResponse{}, "mcp_read_resource": protocol.MCPReadResourceResponse{}, "read_file": protocol.ReadFileResponse{},
	"reload_output_styles": protocol.ReloadOutputStylesResponse{}, "reload_plugins": protocol.ReloadPluginsResponse{}, "reload_skills": protocol.ReloadSkillsResponse{},
}

// optionsOfSDK are the options that have another name here.
var optionsOfSDK = map[string]string{
	"additionalDirectories": "add_dir", "canUseTool": "CanUseTool", "hooks": "Hooks", "onElicitation": "OnElicitation", "onUserDialog": "OnUserDialog",
	"supportedDialogKinds": "DialogKinds", "stderr": "Stderr", "persistSession": "no_session_persistence", "permissionPromptToolName": "permission_prompt_tool",
}

// methodsOfSDK are the methods of a query that have another name here.
var methodsOfSDK = map[string]string{
	"accountInfo": "Account", "applyFlagSettings": "ApplySettings", "getContextUsage": "ContextUsage", "initializationResult": "Started",
	"mcpServerStatus": "MCPStatus", "readMcpResource": "MCPReadResource", "reconnectMcpServer": "MCPReconnect", "toggleMcpServer": "MCPToggle",
	"setMcpServers": "SetMCPServers", "setMcpPermissionModeOverride": "SetMCPPermissionMode", "streamInput": "Query",
	"supportedAgents": "Agents", "supportedCommands": "Commands", "supportedModels": "Models",
	"usage_EXPERIMENTAL_MAY_CHANGE_DO_NOT_RELY_ON_THIS_API_YET": "Usage",
}

// functionsOfSDK are the functions of the SDK beside query, which is this module's root package's.
var functionsOfSDK = map[string]any{
	"listSessions": transcript.Store.List, "getSessionInfo": transcript.Conversation.Summary, "getSessionMessages": transcript.Conversation.Messages,
	"listSubagents": transcript.Conversation.Subagents, "getSubagentMessages": transcript.Conversation.Messages,
	"renameSession": transcript.Conversation.SetTitle, "tagSession": transcript.Conversation.SetTag, "deleteSession": transcript.Conversation.Delete,
	"tool": tool.Add[struct{}, string], "createSdkMcpServer": tool.NewServer,
}

// A leaving is what this program has nothing for, and why.
type leaving struct {
	why   string
	names []string
}

var leftOut = []leaving{
	{"CLI 2.1.330 does not know it, and refuses it", []string{"request set_color"}},
	{"contexts end queries, and Runtime.Stop sessions", []string{"option abortController", "method close"}},
	{"the CLI's path and arguments are the runtime's: understudy.Options.CLI, and Options.Launcher for how it is started", []string{
		"option pathToClaudeCodeExecutable", "option executable", "option executableArgs", "option spawnClaudeCodeProcess",
	}},
	{"servers and plugins always travel in the one way that hides secrets, or in the only one", []string{"option mcpServersDelivery", "option pluginDelivery"}},
	{"transcripts stay with the CLI, in a directory that the embedder chooses (CLAUDE_CONFIG_DIR), and package transcript reads them", []string{
		"option sessionStore", "option sessionStoreFlush", "option loadTimeoutMs", "function importSessionToStore", "function foldSessionSummary",
	}},
	{"a mark of that SDK in a file of its own, which the CLI does not read", []string{"function archiveSession", "function unarchiveSession"}},
	{"Options.Resume with ForkSession has the CLI make the copy, ResumeSessionAt where it ends", []string{"function forkSession"}},
	{"Query of the root package, which this one cannot import", []string{"function query"}},
	{"warm processes: Options.Warm of the root package", []string{"function startup", "function prewarm"}},
	{"a process that lost its hooks is replaced by one that gets them first", []string{"method reinitialize"}},
	{"it reads settings files in the CLI's place; here they are asked of the CLI (Session.Settings), or not read at all (SettingSources)", []string{
		"function resolveSettings", "function filterEscalatingDefaultMode", "function matchDeniedModels",
	}},
	{"an experiment by its name", []string{"agent *.criticalSystemReminder_EXPERIMENTAL"}},
	{"a drawing; the numbers are in Categories", []string{"answer get_context_usage.gridRows"}},
	{"the CLI asks the servers of this program what they have; nothing is declared beforehand", []string{
		"request initialize.sdkMcpServerManifests", "request initialize.sdkMcpServerManifestsOrigin", "answer initialize.sdk_mcp_manifests_parked",
	}},
}
