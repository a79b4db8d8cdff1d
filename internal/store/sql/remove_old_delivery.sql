-- Deliveries that are over. The last one of an object stays: it says what the
-- partner has.
delete from dcm.delivery
where ctid = any (array(
    select d.ctid
    from dcm.delivery d
    where d.state in ('delivered', 'superseded', 'refused') and greatest(d.queued_at, d.last_attempt_at) < @before
        and (d.object = 'IdBasedRequestForUpdate' or exists (
            select from dcm.delivery n
            where n.partner = d.partner and n.object = d.object and n.object_id = d.object_id and n.changed_at > d.changed_at))
    limit 10000))
