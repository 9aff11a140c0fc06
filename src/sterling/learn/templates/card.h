{% extends "header.h" %}
{% block totals %}
    int64_t total[1] = { {{ 1 - least }} };
{% for item, cuts in items %}
    total[0] += {{ item.points[0] }}
{%- for cut in cuts %}
 + {{ item.points[loop.index] - item.points[loop.index0] }} * (x[{{ item.feature }}] >= {{ cut }})
{%- endfor %};
{% endfor %}
{% endblock %}
