package config

import (
	"reflect"
)

// clone copies what a struct of options refers to, so that sessions share nothing. The copy is for the value at.
func (d *decoder) clone(v reflect.Value, at *node) reflect.Value {
	switch v.Kind() {
	case reflect.Struct:
		out := reflect.New(v.Type()).Elem()
		out.Set(v) // unexported fields as they are
		for i := range v.NumField() {
			if out.Field(i).CanSet() {
				out.Field(i).Set(d.clone(v.Field(i), at))
			}
		}
		return out
	case reflect.Slice:
		if v.IsNil() || !d.budget.spend(v.Len(), d.report, at) {
			return v
		}
		out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(d.clone(v.Index(i), at))
		}
		return out
	case reflect.Map:
		if v.IsNil() || !d.budget.spend(v.Len(), d.report, at) {
			return v
		}
		out := reflect.MakeMapWithSize(v.Type(), v.Len())
		for iter := v.MapRange(); iter.Next(); {
			out.SetMapIndex(iter.Key(), d.clone(iter.Value(), at))
		}
		return out
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(d.clone(v.Elem(), at))
		return out
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type()).Elem()
		out.Set(d.clone(v.Elem(), at))
		return out
	}
	return v
}
