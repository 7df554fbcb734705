// A video file → 8 frames → vector → the nearest of ten phrases, with ExecuTorch. Android, Kotlin.
//
// NEVER BUILT FOR A PHONE, NEVER RUN: there was no Android SDK where this was made. Kotlin's compiler took it with
// stand-ins for the classes of Android and ExecuTorch, written from their published signatures. The program it loads was
// run by ExecuTorch's Python runtime on x86-64. The contract is that of the card beside it (mobileviclip-nano).
//
//     vidsearch models export mobileviclip-nano --to executorch --towers clip -o exported
//
//     python examples/mobile/phrases.py mobileviclip-nano > phrases.json
//
// build.gradle: implementation("org.pytorch:executorch-android:1.4.1"). Copy both to the app's files.

package org.example.nearestphrase

import android.graphics.Bitmap
import android.media.MediaMetadataRetriever
import java.io.File
import org.json.JSONArray
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

private const val FRAMES = 8
private const val SIDE = 64
private val MEAN = floatArrayOf(0.5f, 0.5f, 0.5f)
private val STD = floatArrayOf(0.25f, 0.25f, 0.25f)

class NearestPhrase(modelPath: String, phrasesPath: String) {
    private val module = Module.load(modelPath)
    private val phrases: Map<String, FloatArray> = JSONArray(File(phrasesPath).readText()).let { rows ->
        (0 until rows.length()).map(rows::getJSONObject).associate { row ->
            val vector = row.getJSONArray("vector")
            row.getString("phrase") to FloatArray(vector.length()) { vector.getDouble(it).toFloat() }
        }
    }

    /** The nearest phrase and its cosine. */
    fun nearest(videoPath: String): Pair<String, Float> {
        val shape = longArrayOf(FRAMES.toLong(), 3, SIDE.toLong(), SIDE.toLong())
        val input = EValue.from(Tensor.fromBlob(clip(videoPath), shape))
        val vector = module.forward(input)[0].toTensor().dataAsFloatArray // unit length
        return phrases.map { (phrase, other) -> phrase to dot(vector, other) }.maxBy { it.second }
    }

    /** (8, 3, 64, 64): frame i lies at (i + 0.5) / 8 of the video. */
    private fun clip(videoPath: String): FloatArray {
        val values = FloatArray(FRAMES * 3 * SIDE * SIDE)
        val retriever = MediaMetadataRetriever()
        try {
            retriever.setDataSource(videoPath)
            val durationMs = retriever.extractMetadata(MediaMetadataRetriever.METADATA_KEY_DURATION)!!.toLong()
            for (frame in 0 until FRAMES) {
                val timeUs = ((frame + 0.5) / FRAMES * durationMs * 1000).toLong()
                val bitmap = retriever.getFrameAtTime(timeUs, MediaMetadataRetriever.OPTION_CLOSEST)
                    ?: error("no frame at $timeUs")
                write(squashed(bitmap), values, frame)
            }
        } finally {
            retriever.release()
        }
        return values
    }

    /** SIDE x SIDE, the aspect ratio ignored; by halves first, since a larger step skips pixels. */
    private fun squashed(bitmap: Bitmap): Bitmap {
        var picture = bitmap
        while (picture.width >= 2 * SIDE && picture.height >= 2 * SIDE) {
            picture = Bitmap.createScaledBitmap(picture, picture.width / 2, picture.height / 2, true)
        }
        return Bitmap.createScaledBitmap(picture, SIDE, SIDE, true)
    }

    private fun write(bitmap: Bitmap, values: FloatArray, frame: Int) {
        val plane = SIDE * SIDE
        val pixels = IntArray(plane)
        bitmap.getPixels(pixels, 0, SIDE, 0, 0, SIDE, SIDE)
        for (place in 0 until plane) {
            for (channel in 0 until 3) {
                val value = (pixels[place] shr (16 - 8 * channel) and 0xff) / 255f // ARGB
                values[(frame * 3 + channel) * plane + place] = (value - MEAN[channel]) / STD[channel]
            }
        }
    }

    private fun dot(a: FloatArray, b: FloatArray): Float = a.indices.sumOf { (a[it] * b[it]).toDouble() }.toFloat()
}
