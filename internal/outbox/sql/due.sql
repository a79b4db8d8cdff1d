-- Partners for whom something is due and whom no replica serves; first those for whom
-- none of it was tried without success, and of these who have asked for it.
select d.partner, bool_or(d.answers_message_id is not null) as asked, bool_or(d.attempts > 0) as tried
from dcm.delivery d
where d.state in ('waiting', 'sending') and (d.next_attempt_at is null or d.next_attempt_at <= now())
    and not exists (select from dcm.sending s where s.partner = d.partner and s.until > now())
group by d.partner
order by tried, asked desc, min(d.queued_at)
limit 1000
