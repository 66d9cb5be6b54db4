// Package protocol is the wire between a host program and the Claude Code CLI: frames, control
// requests, and how they are read and written. It does no I/O of its own, starts nothing and
// keeps no state; everything about the format that another package needs to know is here.
//
// # Format
//
// Both directions are UTF-8 text, one JSON object per line, ended by "\n". The CLI reads them on
// stdin and writes them on stdout; stderr is text for people. A prompt and what comes back:
//
//	→ {"type":"user","message":{"role":"user","content":"hello"},"parent_tool_use_id":null,"session_id":"","uuid":"6f1c…"}
//	← {"type":"system","subtype":"init","session_id":"0c9e…","model":"claude-opus-5-5","tools":["Bash","Read"],…}
//	← {"type":"assistant","message":{"id":"msg_1","role":"assistant","content":[{"type":"text","text":"Hello."}],…},"parent_tool_use_id":null,…}
//	← {"duration_ms":187,"is_error":false,"num_turns":1,"subtype":"success","result":"Hello.","total_cost_usd":0.005,"type":"result",…}
//
// Every object has a type, system frames and results a subtype. The order of keys means nothing: in
// a result the type comes near the end. A new CLI adds keys and types without notice.
//
// Control frames share the same pipes. Either side may ask, and the other answers once, with
// the request's id inside the response; the ids of the two sides have nothing to do with each other:
//
//	→ {"type":"control_request","request_id":"1","request":{"subtype":"interrupt"}}
//	← {"type":"control_response","response":{"subtype":"success","request_id":"1","response":{"still_queued":[]}}}
//	← {"type":"control_request","request_id":"a7…","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"ls"},…}}
//	→ {"type":"control_response","response":{"subtype":"success","request_id":"a7…","response":{"behavior":"deny","message":"not here"}}}
//	← {"type":"control_cancel_request","request_id":"a7…"}
//
// The last line withdraws a request, which is not answered any more. The CLI ends with exit code 1 on a
// line that is no JSON, on a control request without a request, and on a user frame of another
// role; Encode does not write the latter two.
//
// # Reading and writing
//
// Reader splits a stream into lines, Decode turns a line into a Message, Encode turns a Message
// into a line. Messages, content blocks and control requests are closed sets of pointer types
// with one kind each for what is not known: *Unknown, *UnknownBlock, *UnknownRequest. Nothing
// of a frame is lost on the way through: see Encode. What has a wrong type does not end a
// session: see Decode, and Defects and UnknownFields for counters.
//
// Structs marshalled by themselves with encoding/json write their typed fields only, unless they
// are messages, blocks or payloads with a MarshalJSON of their own.
//
// # Lifetime
//
// Decode copies the line, and the message holds on to the copy: a message kept is a line kept.
// json.RawMessage fields and Raw are parts of the copy and must not be modified in place. The strings of a
// line of 4 KiB or less are parts of one more copy: keep a clone of a short one that lives long.
//
// # Concurrency
//
// Functions may be called from any goroutine. A Reader has one user at a time. A message may be
// read by many goroutines as long as none changes it.
package protocol
