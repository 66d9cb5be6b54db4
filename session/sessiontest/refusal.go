package sessiontest

import (
	"fmt"
	"strings"
)

// refusedText is how far a model comes that will not answer.
const refusedText = "I would rather"

// noted is what the CLI tells a model that was stopped.
const noted = "Your response above was stopped by a safety classifier — this is not a tool or API error. The rest of it was withheld, and tool calls in it that had not finished did not run. Do not produce that content again, even reworded."

// fallbacks are the models that answer in place of others. (The CLI knows more of them; some want consent first.)
var fallbacks = map[string]string{"claude-opus-5-5": "claude-opus-4-8"}

// refusedBy says whether a model will not answer.
func (c call) refusedBy(model string) bool {
	return len(c.refuses) == 2 && strings.Contains(model, c.refuses[0])
}

// refused plays a model that will not answer: it is told so once, then another one takes over, for the rest of the session. It reports false if
// that will not answer either, or there is none: the turn has ended with an error then.
func (s *simulation) refused(c call) bool {
	t := s.turn
	for c.refusedBy(s.model) {
		message, frameID := s.sayRefused()
		if !t.noted {
			t.noted = true
			s.system("informational", frame{"content": modelName(s.model) + "'s safeguards stopped the response above · continuing once with that noted", "level": "notice"})
			s.say(frame{
				"type": "user", "message": frame{"role": "user", "content": []any{frame{"type": "text", "text": noted}}}, "parent_tool_use_id": nil,
				"timestamp": timestamp(), "isSynthetic": true, "refused_message_id": message,
			})
			t.extra++
			t.counted++
			message, frameID = s.sayRefused()
		}
		about := frame{
			"original_model": s.model, "request_id": nil, "api_refusal_category": c.refuses[1], "api_refusal_explanation": "scripted",
			"refused_user_message_uuid": nil, "content": "",
		}
		if len(t.ids) > 0 {
			about["refused_user_message_uuid"] = t.ids[0]
		}
		other := fallbacks[s.model]
		if other == "" {
			s.system("model_refusal_no_fallback", about)
			s.refusal(c.refuses[1], message)
			return false
		}
		about["trigger"], about["direction"], about["scope"], about["fallback_model"] = "refusal", "retry", "session", other
		about["retracted_message_uuids"] = []string{frameID}
		about["content"] = fmt.Sprintf("%s's safeguards flagged this session. %s is answering instead.\n\nDetails: `[%s]`", modelName(s.model), modelName(other), c.refuses[1])
		s.system("model_refusal_fallback", about)
		s.model, t.supersedes = other, frameID
	}
	return true
}

// sayRefused is a model call that came to nothing.
func (s *simulation) sayRefused() (message, frameID string) {
	message = newMessageID()
	s.partialStart(message)
	frameID = s.emitBlock(message, 0, wireBlock{Type: "text", Text: refusedText})
	s.partialEnd(message, []wireBlock{{Type: "text", Text: refusedText}})
	s.charge()
	s.stops++
	return message, frameID
}

// refusal ends a turn that no model would answer.
func (s *simulation) refusal(category, message string) {
	text := fmt.Sprintf("API Error: %s's safeguards flagged this message.\n\nDetails: `[%s]`\n\nMessage ID: %s", modelName(s.model), category, message)
	f := syntheticFrame(text, "refusal", frame{"category": category, "explanation": "scripted", "type": "refusal"})
	f["error"], f["refused_message_id"] = "invalid_request", message
	s.mark(f)
	s.say(f)
	s.turn.counted++
	result := s.result("success", true)
	result["result"], result["stop_reason"], result["terminal_reason"], result["api_error_status"] = text, "refusal", "api_error", nil
	s.finish(result)
}

// modelName is what people call a model: Opus 5.5 for claude-opus-5-5.
func modelName(id string) string {
	family, version, _ := strings.Cut(strings.TrimPrefix(id, "claude-"), "-")
	if family == "" {
		return id
	}
	return strings.ToUpper(family[:1]) + family[1:] + " " + strings.ReplaceAll(version, "-", ".")
}
