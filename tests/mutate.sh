#!/bin/sh
# mutate.sh: does the gradient test notice a wrong gradient? Each line of the table below breaks one thing in
# a copy of the tree; test_gradients is rebuilt and must fail. A mutation that changes nothing, or that does
# not compile, fails the script at once, so the table keeps up with the code.
#
#     sh tests/mutate.sh                      a minute or two; CC names the compiler
set -u

root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cp -R "$root"/base.h "$root"/config.h "$root"/model.[ch] "$root"/kernels "$root"/system "$root"/tests "$work" || exit 1
cd "$work" || exit 1

compile="${CC:-cc} -std=c99 -O1 -ffp-contract=off -DFOLIO_DOUBLE -I."

stop() { echo "mutate.sh: $1" >&2; exit 1; }

# The double build has only the portable table.
objects="test_gradients.o gemm.o kernels.o avx2.o avx512.o neon.o profile.o"
for f in tests/unit/test_gradients kernels/gemm kernels/kernels kernels/avx2 kernels/avx512 kernels/neon system/profile \
         kernels/portable model; do
    $compile -c $f.c -o "$(basename $f).o" || stop "$f.c does not compile"
done
$compile $objects model.o portable.o -o test_gradients -lm || stop "the test does not link"
./test_gradients > output || stop "the gradient test fails before anything is changed"

# The test with a changed file $1.
build_mutant() {
    case $1 in
    model.h) $compile -c model.c -o mutant.o && rest=portable.o ;;
    *) $compile -c kernels/portable.c -o mutant.o && rest=model.o ;;
    esac && $compile $objects mutant.o $rest -o mutant -lm
}

# file, function in which to change something, sed command
cat > table <<'END'
model.h embedding_backward      s/dropout_rows(s, dres, dres, 0, SITE_EMBEDDING);//
model.h embedding_backward      s/ids\[r\]/ids[0]/
model.h embedding_backward      s/r % s->T/r % s->n/
model.h embedding_backward      /K->add(dwte/d
model.h embedding_backward      /K->add(dwpe/d
model.h norm_backward           s/saved->xhat + j/dy + j/
model.h norm_backward           s/db + j, dy + j/db + j, saved->xhat + j/
model.h norm_backward           s/saved->rstd\[r\]/saved->rstd[0]/
model.h linear_backward         s/view(w, O, I), false/view(w, O, I), true/
model.h linear_backward         s/view(x, N, I), true/view(x, N, I), false/
model.h linear_backward         s/O, N, min_dim/O, N - 1, min_dim/
model.h head_backward           s/t0 + i + 1, scale, lse/t0 + i + 1, 2 * scale, lse/
model.h head_backward           s/lse\[t0 + i\]/lse[t0]/
model.h head_backward           s/attention_mask(h->p, T, t0, m);//
model.h head_backward           /pd = h->pd/d
model.h head_backward           /attention_dropout(s, h->dp/d
model.h head_backward           s/h->block, d), D, upper, true/h->block, d), D, upper, false/
model.h head_backward           s/transposed(view_ld(pd, m, end, T))/transposed(view_ld(h->p, m, end, T))/
model.h head_backward           s/gemm_pack(s->K, h->block, d)/gemm_pack(s->K, h->block, q)/
model.h head_backward           s/T, d, vt, end/T, d, kt, end/
model.h head_backward           s/\(t0 + i + 1, \)scale);/\11);/
model.h head_backward           s/attention_mask(h->dp, T, t0, m);//
model.h head_backward           s/view_ld(h->dp, m, end, T), keys/view_ld(h->p, m, end, T), keys/
model.h head_backward           s/gemm_pack(s->K, h->block, q)/gemm_pack(s->K, h->block, d)/
model.h head_backward           s/h->block, q), D, upper, true/h->block, q), D, upper, false/
model.h head_backward           s/CAUSAL_OUTPUT, t0/CAUSAL_OUTPUT, t0 - 8/
model.h head_backward           s/CAUSAL_LOWER, t0/CAUSAL_LOWER, t0 - 1/
model.h head_backward           s/CAUSAL_UPPER, -t0/CAUSAL_UPPER, 1 - t0/
model.h head_backward           s/transposed(view_ld(h->dp, m, end, T))/transposed(view_ld(h->p, m, end, T))/
model.h attention_backward      s/part = 1; part < 3/part = 2; part < 3/
model.h attention_backward      s/part = 1; part < 3/part = 1; part < 2/
model.h attention_backward      s/(size_t)s->first \* (size_t)H + (size_t)i/(size_t)i/
model.h activation_backward     s/gelu_tanh != 0/gelu_tanh == 0/
model.h activation_backward     s/swiglu_back(out, out + F/swiglu_back(out + F, out/
model.h activation_backward     s/d, x, x + F/d, x + F, x/
model.h activation_backward     s/r \* F, \*x/r * G, *x/
model.h norm_backward           s/layernorm_back : s->K->rmsnorm_back/layernorm_back : s->K->layernorm_back/
model.h qk_backward             s/sine + (size_t)(r % s->T) \* half, D, true/sine + (size_t)(r % s->T) * half, D, false/
model.h qk_backward             s/s->cosine + (size_t)(r % s->T)/s->cosine + (size_t)(r % s->n)/
model.h qk_backward             s/s->sine + (size_t)(r % s->T)/s->sine + (size_t)(0 * r)/
model.h qk_backward             s/h < 2 \* H/h < H/
model.h qk_backward             /sum_rows_product(dqnw/d
model.h qk_backward             /sum_rows_product(dknw/d
model.h qk_backward             s/dqkv + (size_t)r \* 3 \* A + A, saved/dqkv + (size_t)r * 3 * A, saved/
model.h qk_backward             s/2 \* A + A, D, H, D/2 * A, D, H, D/
model.h qk_backward             s/2 \* A, D, H, D/2 * A, D, 1, D/
model.h qk_backward             /memset(dx/d
model.h qk_backward             /memcpy(dy/d
model.h qk_backward             s/h < H ? qnw : knw/qnw/
model.h qk_backward             s/2 \* A + h \* D, h < H/2 * A, h < H/
model.h qk_backward             s/saved->rstd\[.*\]/saved->rstd[r]/
model.h head_backward           s/if (attention_drops(s)) attention_dropout(s, h->dp/if (s->dropout.threshold != 0) attention_dropout(s, h->dp/
model.h head_backward           s/if (attention_drops(s)) attention_dropout(s, pd/if (s->dropout.threshold != 0) attention_dropout(s, pd/
model.h embedding_backward      s/if (dwpe != NULL) dropout_rows/dropout_rows/
model.h residual_backward       s/== 0) return dres/>= 0) return dres/
model.h residual_backward       s/layer, site);/layer + 1, site);/
model.h cross_entropy_backward  s/-= 1/+= 1/
model.h cross_entropy_backward  s/targets\[r\]/targets[0]/
model.h cross_entropy_backward  s/\*= scale/*= 1/
model.h head_loss               s/a->dx + (size_t)r/a->dres + (size_t)r/
model.h block_backward          s/t->dres, layer, SITE_MLP/t->dres, layer, SITE_PROJECTION/
model.h block_backward          s/a->hid, w->outw/a->pre, w->outw/
model.h block_backward          /activation_backward/d
model.h block_backward          s/a->n2, w->fcw/a->n1, w->fcw/
model.h block_backward          s/&a->ln2, w->ln2w/\&a->ln1, w->ln2w/
model.h block_backward          s/t->dres, layer, SITE_PROJECTION/t->dres, layer, SITE_MLP/
model.h block_backward          s/a->att, w->projw/a->n1, w->projw/
model.h block_backward          /attention_backward/d
model.h block_backward          /qk_backward/d
model.h block_backward          s/g->qnw, g->knw/g->knw, g->qnw/
model.h block_backward          s/w->qnw, w->knw/w->knw, w->qnw/
model.h block_backward          s/&a->qk, w->qnw/\&a->ln1, w->qnw/
model.h block_backward          s/a->n1, w->qkvw/a->n2, w->qkvw/
model.h block_backward          s/&a->ln1, w->ln1w/\&a->ln1, w->ln2w/
model.h model_train_slice       s/in->batch \* in->T/in->n * in->T/
model.h model_train_slice       /memset(a->dres/d
model.h model_train_slice       s/&a->lnf, m->w.lnfw/\&a->lnf, m->g.lnfw/
model.h model_train_slice       s/l >= 0/l > 0/
model.h model_train_slice       s/m->dwte_input, m->g.wpe/m->g.wte, m->g.wpe/
model.h model_finish_grads      s/config.vocab;/config.vocab - 1;/
kernels/body.h layernorm_back   s/s = v_add(s, d)/s = v_sub(s, d)/
kernels/body.h layernorm_back   s/sx = v_fma(d, v_get(xhat/sx = v_fma(d, v_get(dy/
kernels/body.h layernorm_back   s/d = v_sub(v_mul/d = v_add(v_mul/
kernels/body.h layernorm_back   s/d = v_sub(d/d = v_add(d/
kernels/body.h layernorm_back   s/v_fma(d, scale, v_get(dx + i, left))/v_mul(d, scale)/
kernels/body.h rmsnorm_back     s/sx = v_fma(d, v_get(xhat/sx = v_fma(d, v_get(dy/
kernels/body.h rmsnorm_back     s/v_sum(sx) \/ (real)n/v_sum(sx)/
kernels/body.h rmsnorm_back     s/d = v_sub(d/d = v_add(d/
kernels/body.h rmsnorm_back     s/v_fma(d, scale, v_get(dx + i, left))/v_mul(d, scale)/
kernels/body.h rmsnorm_back     s/v_set(rstd)/v_set(1)/
kernels/body.h rotate           s/back ? -1 : 1/back ? -1 : -1/
kernels/body.h rotate           s/v_sub(v_mul(a, c), v_mul(b, s))/v_mul(a, c)/
kernels/body.h swiglu_back      s/v_sub(v_set(1), s), s)/v_sub(v_set(1), s), silu)/
kernels/body.h swiglu_back      s/v_fma(silu, v_sub(v_set(1), s), s)/s/
kernels/body.h swiglu_back      s/v_mul(v_mul(d, u), slope)/v_mul(d, slope)/
kernels/body.h swiglu_back      s/v_mul(d, silu)/v_mul(d, s)/
kernels/body.h gelu_tanh        s/3 \* 0.044715/2 * 0.044715/
kernels/body.h gelu_back        s/v_sub(one, tail)/v_add(one, tail)/
kernels/body.h gelu_back        s/v_sub(one, v_mul(th, th))/v_add(one, v_mul(th, th))/
kernels/body.h gelu_back        s/v_mul(v_mul(v, half), slope)/v_mul(v, slope)/
kernels/body.h gelu_back        s/v_mul(v_get(dy + i, n - i), slope)/v_mul(v_set(1), slope)/
kernels/body.h v_normal_slope   s/0\.3989/0.3999/
kernels/body.h softmax_again    s/v_set(-lse)/v_set(lse)/
kernels/body.h softmax_back     s/dot(dp, p, n)/dot(dp, dp, n)/
kernels/body.h softmax_back     s/v_sub(v_get(dp/v_add(v_get(dp/
kernels/body.h softmax_back     s/v_set(scale)/v_set(1)/
kernels/body.h dropout          s/v_get(x + i, n - i), scale/v_get(x + i, n - i), v_set(1)/
kernels/body.h sum_rows         s/x + r \* ld/x/
kernels/body.h sum_rows_product s/v_get(y + i, left)/v_get(x + i, left)/
kernels/body.h sum_rows_product s/, v_get(sum + i, left))/, v_set(0))/
END

passed=0 failed=0
while read -r file function command; do
    cp "$file" original
    sed "/^[a-z].*[ *]$function(/,/^}/ { $command
    }" original > "$file" || stop "sed does not understand: $command"
    cmp -s original "$file" && stop "changes nothing: $file $function $command"
    build_mutant "$file" || stop "does not compile: $file $function $command"
    if ./mutant --stop > output 2>&1; then
        failed=$((failed + 1)) verdict=MISSED
    else
        passed=$((passed + 1)) verdict=caught
    fi
    printf '%s  %-23s %s   [%s]\n' "$verdict" "$function" "$command" "$(tail -n 1 output)"
    cp original "$file"
done < table
echo "mutations: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
