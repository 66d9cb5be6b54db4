package audit

import "encoding/binary"

// isCompact reports whether raw is valid JSON without a space outside of strings, as programs write it: then it need not be
// made so, which takes eight times as long. It may say no to what is valid and compact: to what is nested deeper than 64 levels.
func isCompact(raw []byte) bool { return compactEnd(raw, 0) == len(raw) }

// compactEnd is where the value ends that begins at i, negative if none does that is as isCompact wants it.
func compactEnd(raw []byte, i int) int {
	objects, depth := uint64(0), 0 // what encloses: the lowest bit is set if the innermost is an object
	for {
		// A value begins here.
		if i >= len(raw) {
			return -1
		}
		switch c := raw[i]; c {
		case '{', '[':
			if depth == 64 || i+1 >= len(raw) {
				return -1
			}
			depth++
			objects <<= 1
			if i++; c == '[' {
				if raw[i] != ']' {
					continue
				}
			} else {
				objects |= 1
				if raw[i] != '}' {
					if i = keyEnd(raw, i); i < 0 {
						return -1
					}
					continue
				}
			}
			// An empty one: its end is seen to below.
		case '"':
			if i = textEnd(raw, i); i < 0 {
				return -1
			}
		case 't', 'f', 'n':
			word := literals[c]
			if len(raw)-i < len(word) || string(raw[i:i+len(word)]) != word {
				return -1
			}
			i += len(word)
		default:
			if i = numberEnd(raw, i); i < 0 {
				return -1
			}
		}
		// It has ended, and so may what encloses it.
		for ; ; i++ {
			if depth == 0 {
				return i
			}
			if i >= len(raw) {
				return -1
			}
			if c := raw[i]; c == ',' {
				if i++; objects&1 == 1 {
					if i = keyEnd(raw, i); i < 0 {
						return -1
					}
				}
				break
			} else if c != "]}"[objects&1] {
				return -1
			}
			objects >>= 1
			depth--
		}
	}
}

var literals = ['t' + 1]string{'t': "true", 'f': "false", 'n': "null"}

// keyEnd is where the value of a field begins whose name begins at i, negative if no name does.
func keyEnd(raw []byte, i int) int {
	if i >= len(raw) || raw[i] != '"' {
		return -1
	}
	if i = textEnd(raw, i); i < 0 || i >= len(raw) || raw[i] != ':' {
		return -1
	}
	return i + 1
}

// textEnd is where the string ends that begins at i, negative if it is none.
func textEnd(raw []byte, i int) int {
	for i++; i < len(raw); i++ {
		for len(raw)-i >= 8 && plainText(binary.LittleEndian.Uint64(raw[i:])) {
			i += 8
		}
		if i == len(raw) {
			return -1
		}
		switch c := raw[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i++; i >= len(raw) {
				return -1
			}
			switch raw[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if _, ok := hex4(string(raw[i-1 : min(i+5, len(raw))])); !ok {
					return -1
				}
				i += 4
			default:
				return -1
			}
		case c < ' ':
			return -1
		}
	}
	return -1
}

// plainText reports that none of eight bytes ends a string, escapes anything or is a control character. It may say no to what is plain.
func plainText(eight uint64) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quotes, backslashes := eight^'"'*ones, eight^'\\'*ones
	return ((quotes-ones)&^quotes|(backslashes-ones)&^backslashes|(eight-' '*ones)&^eight)&highs == 0
}

// numberEnd is where the number ends that begins at i, negative if it is none.
func numberEnd(raw []byte, i int) int {
	if i < len(raw) && raw[i] == '-' {
		i++
	}
	whole := digitsEnd(raw, i)
	if whole == i || raw[i] == '0' && whole > i+1 {
		return -1
	}
	end := whole
	if end < len(raw) && raw[end] == '.' {
		if end = digitsEnd(raw, whole+1); end == whole+1 {
			return -1
		}
	}
	if end == len(raw) || raw[end]|0x20 != 'e' {
		return end
	}
	exponent := end + 1
	if exponent < len(raw) && (raw[exponent] == '+' || raw[exponent] == '-') {
		exponent++
	}
	if end = digitsEnd(raw, exponent); end == exponent {
		return -1
	}
	return end
}

func digitsEnd(raw []byte, i int) int {
	for i < len(raw) && '0' <= raw[i] && raw[i] <= '9' {
		i++
	}
	return i
}
