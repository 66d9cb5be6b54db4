package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/understudy-run/understudy/session"
)

// Difference says in which settings two configurations differ, by their names in the file, but for what a runtime compares itself:
// sessions, groups, pools, budgets and limits.
type Difference struct {
	// Live are those that a running program can take over: what is spawned from now on, and how it ends.
	Live []string
	// Restart are those that it reads when it starts.
	Restart []string
}

// live are the settings that hold without a restart.
var live = []string{"defaults", "templates", "drain_timeout", "ignore"}

// runtimes are the settings that the runtime compares.
var runtimes = []string{"-", "sessions", "supervisors", "pools", "budgets", "limits"}

// Differ compares what runs with what is to run.
func Differ(running, next *Config) Difference {
	var d Difference
	add := func(name string) {
		section, _, _ := strings.Cut(strings.TrimSuffix(name, " (order)"), ".")
		if slices.Contains(live, section) {
			d.Live = append(d.Live, name)
			return
		}
		d.Restart = append(d.Restart, name)
	}
	a, b := reflect.ValueOf(*running), reflect.ValueOf(*next)
	for i := range a.NumField() {
		field := a.Type().Field(i)
		name := field.Tag.Get("json")
		if !field.IsExported() || slices.Contains(runtimes, name) {
			continue
		}
		differ(name, a.Field(i), b.Field(i), add)
	}
	return d
}

// differ goes down to the settings that stand in the file under a name. Of options of sessions it goes no further: what they
// are is in the difference of the sessions.
func differ(name string, a, b reflect.Value, add func(string)) {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	switch {
	case a.Kind() == reflect.Slice && a.Type().Elem().Kind() == reflect.Struct && a.Type().Elem().Field(0).Name == "Name":
		differNamed(name, a, b, add)
	case a.Kind() == reflect.Struct && a.Type() != reflect.TypeFor[session.Options]():
		for i := range a.NumField() {
			field := a.Type().Field(i)
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !field.IsExported() || key == "-" {
				continue
			}
			differ(name+"."+strings.ToLower(key), a.Field(i), b.Field(i), add)
		}
	default:
		add(name)
	}
}

// differNamed compares what is a mapping of names in the file.
func differNamed(name string, a, b reflect.Value, add func(string)) {
	find := func(list reflect.Value, key string) (reflect.Value, bool) {
		for i := range list.Len() {
			if list.Index(i).Field(0).String() == key {
				return list.Index(i), true
			}
		}
		return reflect.Value{}, false
	}
	same := true
	for i := range b.Len() {
		key := b.Index(i).Field(0).String()
		was, there := find(a, key)
		switch {
		case !there:
			add(fmt.Sprintf("%s.%s (new)", name, key))
			same = false
		case !reflect.DeepEqual(was.Interface(), b.Index(i).Interface()):
			add(name + "." + key)
			same = false
		}
	}
	for i := range a.Len() {
		key := a.Index(i).Field(0).String()
		if _, there := find(b, key); !there {
			add(fmt.Sprintf("%s.%s (gone)", name, key))
			same = false
		}
	}
	if same { // nothing but their order
		add(name + " (order)")
	}
}
