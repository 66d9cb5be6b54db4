package remote

import (
	"encoding/json"
	"strconv"
)

// otlpLogs is a logs request of OTLP/JSON, as far as the witness wants to know it.
type otlpLogs struct {
	ResourceLogs []struct {
		ScopeLogs []struct {
			LogRecords []struct {
				Attributes []struct {
					Key   string `json:"key"`
					Value struct {
						String *string         `json:"stringValue"`
						Int    json.RawMessage `json:"intValue"` // a number, or a text with one
						Bool   *bool           `json:"boolValue"`
					} `json:"value"`
				} `json:"attributes"`
			} `json:"logRecords"`
		} `json:"scopeLogs"`
	} `json:"resourceLogs"`
}

// report is one event of the CLI: the attributes that tell about a tool, and its place among the events.
type report struct {
	toolEvent
	sequence int64 // from 1 without a hole, per process; 0 if it is not said
}

// readOTLP reads the events of a request.
func readOTLP(body []byte) ([]report, error) {
	var logs otlpLogs
	if err := json.Unmarshal(body, &logs); err != nil {
		return nil, err
	}
	var all []report
	for _, resource := range logs.ResourceLogs {
		for _, scope := range resource.ScopeLogs {
			for _, record := range scope.LogRecords {
				text := make(map[string]string, len(record.Attributes))
				for _, a := range record.Attributes {
					switch v := a.Value; {
					case v.String != nil:
						text[a.Key] = *v.String
					case v.Bool != nil:
						text[a.Key] = strconv.FormatBool(*v.Bool)
					case len(v.Int) > 0:
						text[a.Key] = string(v.Int)
						if unquoted, err := strconv.Unquote(text[a.Key]); err == nil {
							text[a.Key] = unquoted
						}
					}
				}
				r := report{toolEvent: toolEvent{
					session: text["session.id"], id: text["tool_use_id"], tool: text["tool_name"], name: text["event.name"],
				}}
				r.sequence, _ = strconv.ParseInt(text["event.sequence"], 10, 64) // 0 if it is none
				switch r.name {
				case "tool_decision":
					r.outcome = text["decision"]
				case "tool_result":
					r.outcome = text["success"]
				default:
					r.id = "" // about no tool, or not its beginning and end
				}
				all = append(all, r)
			}
		}
	}
	return all, nil
}
