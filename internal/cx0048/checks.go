package cx0048

import (
	"fmt"
	"iter"
	"time"

	"dcm-receiver/internal/dcm"
)

// Weeks checks the weeks of one list (§2.2.2, §3.2.2): each is a Monday, and there
// once. They come by their places in the list; name is what sentences call one.
func Weeks(weeks iter.Seq2[int, dcm.Date], name string, report func(place int, detail string)) {
	var last dcm.Date
	var seen map[dcm.Date]bool // nil as long as they come in order, as nearly all do
	any := false
	for place, week := range weeks {
		if week.Weekday() != time.Monday {
			report(place, fmt.Sprintf("%s is a %s; %s must be a Monday", week, week.Weekday(), name))
		}
		if seen == nil && (!any || week > last) {
			any, last = true, week
			continue
		}
		if seen == nil {
			seen = map[dcm.Date]bool{}
			for at, earlier := range weeks {
				if at == place {
					break
				}
				seen[earlier] = true
			}
		}
		if seen[week] {
			report(place, fmt.Sprintf("week %s is there twice; every week may be there once", week))
		}
		seen[week] = true
	}
}

// GroupWeeks: a capacity group has at least one week other than the current and the
// next one (§3.2.2); past weeks count as others.
func GroupWeeks(weeks iter.Seq2[int, dcm.Date], today dcm.Date) (wrong string) {
	if hasOther(weeks, today) {
		return ""
	}
	return fmt.Sprintf(
		"there are only the current week (%s) and the next; capacities must have at least one other week",
		today.Monday())
}

// DemandWeeks: a material demand is not empty (§2.2.2); past weeks count.
func DemandWeeks(weeks iter.Seq2[int, dcm.Date], today dcm.Date) (wrong string) {
	if hasOther(weeks, today) {
		return ""
	}
	return fmt.Sprintf(
		"there is no week other than the current (%s) and the next; a material demand may not be empty", today.Monday())
}

func hasOther(weeks iter.Seq2[int, dcm.Date], today dcm.Date) bool {
	for _, week := range weeks {
		if week != today.Monday() && week != today.Monday()+7 {
			return true
		}
	}
	return false
}
